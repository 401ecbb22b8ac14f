"""For the authors of rulebooks: what is wrong with one, what it says, and how two differ."""
