"""What can be wrong with a running program. Kernels report a code and two numbers; this is their text.

A kernel returns a result of at least 0, or one of these negative codes after leaving the offending
value and the limit in ``State.fault``.
"""

from __future__ import annotations

from gatewright.contract.errors import GatewrightError
from gatewright.contract.registers import ErrorCode

TABLE_NUMBER = -1
TABLE_UNWRITTEN = -2
TABLE_FULL = -3
TILE_ZERO = -4
DRAM_RANGE = -5
DRAM_ALIGNMENT = -6
SCRATCHPAD_RANGE = -7
PATCH_VECTORS = -8
PATCH_RANGE = -9
WEIGHT_VECTORS = -10
WEIGHT_RANGE = -11
ACCUMULATOR_RANGE = -12
PARAMETER_RANGE = -13
PARAMETER_SHIFT = -14
MASK_RANGE = -15
POOL_PARTIAL = -16
POOL_KIND = -17
RESIDUAL_KIND = -18
FILTERS_STATIONARY = -19
THRESHOLD_SHAPE = -20
COMPACT_TABLE = -21
CHANNEL_RANGE = -22
POOL_GRID = -23
LOAD_SPACE = -24
LOAD_SHORT = -25
LOAD_BEATS = -26
INSTRUCTION_RANGE = -27
INSTRUCTION_SPLIT = -28
FETCH_RANGE = -29
FETCH_UNWRITTEN = -30
FETCH_ILLEGAL = -31
WAIT_AHEAD = -32
INDEX_GRID = -33
SOURCE_TILE = -34
STORE_ALIGNMENT = -35
REGION_VECTORS = -36
POOL_PARAMETER = -37
MASKED_KERNEL = -38
MASK_NUMBER = -39
EPILOGUE_KIND = -40
DIGITS_KIND = -41
DIGITS_PIXELS = -42
WINDOW_TILE = -43
WINDOW_TABLE = -44
WINDOW_EDGE = -45
WINDOW_STEP = -46
WINDOW_INSET = -47
TAPS_CHANNELS = -48
TAPS_RING = -49
DEPTHWISE_STEP = -50
APART_SLICE = -51
ELSEWHERE_RESIDUAL = -52
UPSAMPLE_ELSEWHERE = -53
ONLY_VALUE = -54
WINDOW_ONLY = -55
ORDER_TABLE = -56

_TEXT = {
    TABLE_NUMBER: "names table {0}, but the machine has {1}; use a lower number",
    TABLE_UNWRITTEN: "uses table {0}, which nothing has written yet; run INDEX or LOAD it before",
    TABLE_FULL: "fills a table with {0} entries, but a table holds {1}",
    TILE_ZERO: "has tile = 0; a tile's edge is at least 1",
    DRAM_RANGE: "dram_address: reaches byte {0} of a DRAM image of {1} bytes",
    DRAM_ALIGNMENT: "dram_address: a row begins at byte {0}, which is not a multiple of {1}",
    SCRATCHPAD_RANGE: "reaches byte {0} of a scratchpad of {1} bytes (source, address, destination or pool_address)",
    PATCH_VECTORS: "patch_vectors: uses {0} vectors of a region of {1}",
    PATCH_RANGE: "patch_base: reaches word {0} of a patch buffer of {1} words",
    WEIGHT_VECTORS: "weight_vectors: uses vector {0} of a region of {1}",
    WEIGHT_RANGE: "weight_base or address: reaches word {0} of a weight buffer of {1} words",
    ACCUMULATOR_RANGE: "accumulator: reaches entry {0} of a bank of {1} entries",
    PARAMETER_RANGE: "parameters or address: reaches entry {0} of {1} parameter entries",
    PARAMETER_SHIFT: "parameters: the entry's shift is {0}; shifts are 1 to {1}",
    MASK_RANGE: "reaches mask bit {0} of {1} (destination, bits, or the source mask's grid)",
    POOL_PARTIAL: "pool: {0} pixels from pixel {1} are not whole tiles",
    POOL_KIND: "pool: needs kind STORE and stationary filters (kind {0}, stationary {1})",
    RESIDUAL_KIND: "residual: needs kind STORE and stationary filters (kind {0}, stationary {1})",
    FILTERS_STATIONARY: "stationary: kind {0} needs stationary filters, not {1}",
    THRESHOLD_SHAPE: "kind THRESHOLD needs one streamed vector, not {0} (stationary {1})",
    COMPACT_TABLE: "compact: needs a filter_table, not {0} (none is {1})",
    CHANNEL_RANGE: "writes {0} channels of a pixel that stores {1} (channels, or the filter table's count)",
    POOL_GRID: "grid_width: writes column {0} of a pooled map of {1} columns",
    LOAD_SPACE: "space = {0} is not one of 0 to {1}",
    LOAD_SHORT: "count: needs {0} beats but the rows have {1}",
    LOAD_BEATS: "row_beats = {0}, but a row of this layout has {1} beats",
    INSTRUCTION_RANGE: "address or entry: reaches entry {0} of an instruction memory of {1} entries",
    INSTRUCTION_SPLIT: "row_beats: {0} beats are not whole instructions of {1} beats",
    FETCH_RANGE: "is fetched at entry {0} of an instruction memory of {1} entries; end the page with NEXT or END",
    FETCH_UNWRITTEN: "is fetched at entry {0}, which nothing was loaded into; end the page with NEXT or END",
    FETCH_ILLEGAL: "is fetched at entry {0} and is illegal: {note}",
    WAIT_AHEAD: "waits for completion {0} of a unit that has been given {1} instructions; wait for earlier ones only",
    INDEX_GRID: "grid_width: position {0} does not fit an entry's {1} bits a coordinate",
    SOURCE_TILE: "source_tile or source_grid = {0}; with a source_mask it is at least {1}",
    STORE_ALIGNMENT: "address: {0} is not a multiple of {1}",
    REGION_VECTORS: "vectors: writes vector {0} of a region of {1}",
    POOL_PARAMETER: "parameters: {0} leaves no entry before it for the pooling; use at least {1}",
    APART_SLICE: "first_slice = {0} does not begin with a kernel row of {1} elements, whose pixels lie apart",
    MASKED_KERNEL: "kernel_width = {0}; with a source_mask it is at most {1}",
    MASK_NUMBER: "names mask {0}, but the machine has {1}; use a lower number",
    EPILOGUE_KIND: "kind = {0} is not one of 0 to {1}",
    DIGITS_KIND: "digits: needs kind REDUCE or REDUCE_RAW (kind {0})",
    DIGITS_PIXELS: "digits: adds up the entries of {1} pixels, the two digits, not of {0}",
    WINDOW_TILE: "tile = {0}; a kind that reads windows goes pixel by pixel, with tile = {1}",
    WINDOW_TABLE: "tile_table or filter_table = {0}; a kind that reads windows takes no table ({1})",
    WINDOW_EDGE: "window = {0}; the edge of this kind's windows is 1 to {1}",
    WINDOW_STEP: "step = {0}; from one window to the next it is at least {1}",
    WINDOW_INSET: "inset = {0}; the first window would lie outside of the map: with window = {1} it is less",
    TAPS_CHANNELS: "channels = {0}; kind TAPS makes one bit for each window, with channels = {1}",
    DEPTHWISE_STEP: "step = {0}; with kind DEPTHWISE it is 1 to {1}",
    ELSEWHERE_RESIDUAL: "elsewhere: says where a residual is, but residual is {0}; it needs {1}",
    UPSAMPLE_ELSEWHERE: "upsample = {0}; only a residual from elsewhere can be coarser than the output",
    ONLY_VALUE: "only = {0} is not one of 0 to {1}",
    WINDOW_ONLY: "only = {0}; a kind that reads windows always has its filters ({1})",
    ORDER_TABLE: "in_order: needs a filter_table, not {0} (none is {1})",
    TAPS_RING: "wrap_row = {0}; kind TAPS reads accumulators, which are no ring of rows ({1})",
}


_AT_THE_PORT = {FETCH_RANGE: ErrorCode.FETCH_RANGE, FETCH_UNWRITTEN: ErrorCode.ILLEGAL_OPCODE} | {
    WAIT_AHEAD: ErrorCode.WAIT_AHEAD,
}
_NOTES = {"opcode": ErrorCode.ILLEGAL_OPCODE, "unused bits": ErrorCode.STRAY_BITS, "waits on": ErrorCode.ILLEGAL_WAIT}


class Stopped(GatewrightError):
    """A program that does something illegal; ``code`` is the error that the machine stops with.

    Where the machine does not notice what the simulator does (an address beyond a memory), that of wrong operands.
    ``row`` is the instruction's in the run's table of what was executed.
    """

    def __init__(self, message: str, code: ErrorCode, row: int) -> None:
        super().__init__(message)
        self.code, self.row = code, row


def fault(instruction: int, row: int, opcode: str, code: int, value: int, limit: int, note: str = "") -> Stopped:
    """The error for a fault code in the instruction of this number of its image (0 is the first executed)."""
    who = "the boot page" if instruction < 0 else f"instruction {instruction} ({opcode})"
    error = _AT_THE_PORT.get(code, ErrorCode.ILLEGAL_OPERANDS)
    if code == FETCH_ILLEGAL:
        error = next(named for words, named in _NOTES.items() if words in note)
    elif code in (DRAM_RANGE, DRAM_ALIGNMENT):
        error = ErrorCode.WRITE_BUS if opcode == "STORE" else ErrorCode.READ_BUS
    return Stopped(f"{who} {_TEXT[code].format(value, limit, note=note)}", error, row)
