"""Enlarge very many files, on one machine or on several that share a folder or a bucket.

Only names move between machines: a plan cuts them into parts, any machine runs a part, and a part is done when its
record is there. Scheduling is left to others: a shell, an array of jobs, a cluster.
"""
