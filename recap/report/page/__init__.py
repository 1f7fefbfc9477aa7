"""The review page: what a run made, worst first, as one HTML file that asks nothing of any network."""

from recap.report.page.writing import write_page

__all__ = ["write_page"]
