"""A sweep: a table of papers, data sets, knobs and seeds as runs on a Dask cluster."""
