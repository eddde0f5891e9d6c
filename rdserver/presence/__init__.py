"""Who is online, and where.  Nothing outside may assume how it is kept."""
