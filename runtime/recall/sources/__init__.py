"""Places that collections are kept in step with: pages, sitemaps, feeds, git repositories, folders."""
