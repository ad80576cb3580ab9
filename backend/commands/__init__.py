"""The command line's verbs, thin: they read what the user said and call the stage that does it."""
