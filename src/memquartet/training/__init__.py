"""Training the team with verl: the only room that imports verl, torch and ray."""
