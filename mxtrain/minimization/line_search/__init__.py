"""Line searches along a descent direction, for the strong and the approximate Wolfe conditions."""

from mxtrain.minimization.line_search.hager_zhang import HagerZhang
from mxtrain.minimization.line_search.more_thuente import MoreThuente
from mxtrain.minimization.line_search.result import Phi, SearchResult

__all__ = ["HagerZhang", "MoreThuente", "Phi", "SearchResult"]
