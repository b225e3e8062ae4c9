"""LevelDB and the consensus journal: everything that must survive a power cut."""
