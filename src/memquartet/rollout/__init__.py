"""Running an episode: values carried between the agents and the store."""
