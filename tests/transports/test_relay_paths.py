"""Both data paths keep the one contract."""

from __future__ import annotations

from tests.transports import path_contract as contract
from tests.transports import path_limits as limits
from tests.transports.path_case import Copies, Splices


class CopyBytesTests(Copies, contract.BytesContract):
    pass


class SpliceBytesTests(Splices, contract.BytesContract):
    pass


class CopyPressureTests(Copies, contract.PressureContract):
    pass


class SplicePressureTests(Splices, contract.PressureContract):
    pass


class CopyEndTests(Copies, contract.EndContract):
    pass


class SpliceEndTests(Splices, contract.EndContract):
    pass


class CopyFullTests(Copies, contract.FullContract):
    pass


class SpliceFullTests(Splices, contract.FullContract):
    pass


class CopyInterleavingTests(Copies, contract.InterleavingContract):
    pass


class SpliceInterleavingTests(Splices, contract.InterleavingContract):
    pass


class CopyBrokenTests(Copies, contract.BrokenContract):
    pass


class SpliceBrokenTests(Splices, contract.BrokenContract):
    pass


class CopySingleLimitTests(Copies, limits.SingleLimitContract):
    pass


class SpliceSingleLimitTests(Splices, limits.SingleLimitContract):
    pass


class CopySlowTests(Copies, limits.SlowContract):
    pass


class SpliceSlowTests(Splices, limits.SlowContract):
    pass


class CopyTotalLimitTests(Copies, limits.TotalLimitContract):
    pass


class SpliceTotalLimitTests(Splices, limits.TotalLimitContract):
    pass


class CopyFarLimitTests(Copies, limits.FarLimitContract):
    pass


class SpliceFarLimitTests(Splices, limits.FarLimitContract):
    pass


class CopyManyTests(Copies, limits.ManyContract):
    pass


class SpliceManyTests(Splices, limits.ManyContract):
    pass
