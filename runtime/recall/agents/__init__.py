"""What agents keep in the server's database: runs with their steps, conversations, small records."""
