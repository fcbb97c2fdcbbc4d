"""What starts agents by itself: times, calls from outside, changes of files and collections, ends of runs."""
