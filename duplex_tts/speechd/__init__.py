"""The output module of Speech Dispatcher, through which Orca and `spd-say` speak."""
