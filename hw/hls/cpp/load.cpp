// LOAD: rows of beats from DRAM, through a stream, into the memory that `space` names.
#include "hls_stream.h"

#include "arithmetic.h"
#include "sizes.h"
#include "units.h"

typedef hls::stream<Beat> Beats;

// The rows of a transfer, as plain numbers.
struct Rows {
    uint32_t dram_address;
    int first, rows, beats, stride;
    bool picked;  // by a table
};

// The entries of the table that picks rows, from the first row's on: a copy, since of two processes that run at once
// one may not read the memory that the other writes.
typedef uint16_t Picked[TABLE_ENTRIES];

static uint64_t row_address(const Rows &rows, const Picked picked, int position) {
    const int row = rows.picked ? (int)picked[position] : rows.first + position;
    return rows.dram_address + (uint64_t)row * rows.stride;
}

// Whether all rows begin at a beat and lie in DRAM.
static int check_rows(const Rows &rows, const Picked picked, uint64_t dram_bytes) {
check:
    for (int position = 0; position < rows.rows; position++) {
        const uint64_t address = row_address(rows, picked, position);
        if (address % BEAT_BYTES) return ERROR_ILLEGAL_OPERANDS;
        if (address + (uint64_t)rows.beats * BEAT_BYTES > dram_bytes) return ERROR_READ_BUS;
    }
    return ERROR_NONE;
}

static void read_rows(const Beat *memory, const Rows &rows, const Picked picked, Beats &beats) {
rows:
    for (int position = 0; position < rows.rows; position++) {
        const uint64_t first = row_address(rows, picked, position) / BEAT_BYTES;
    row:
        for (int beat = 0; beat < rows.beats; beat++) {
#pragma HLS PIPELINE II=1
            beats.write(memory[first + beat]);
        }
    }
}

static void to_scratchpad(Beats &beats, int count, int address) {
write:
    for (int beat = 0; beat < count; beat++) {
#pragma HLS PIPELINE II=1
        unpack(beats.read(), &scratchpad[address + beat * BEAT_BYTES]);
    }
}

// A row is a vector: its beats hold slices of ROWS bytes, as many as fit.
static void to_weights_by_vector(Beats &beats, const Rows &rows, int base, int vectors, int slices) {
vectors:
    for (int position = 0; position < rows.rows; position++) {
    row:
        for (int beat = 0; beat < rows.beats; beat++) {
#pragma HLS PIPELINE II=1
            int8_t bytes[BEAT_BYTES];
            unpack(beats.read(), bytes);
            for (int part = 0; part < SLICES_PER_BEAT; part++) {
                const int slice = beat * SLICES_PER_BEAT + part;
                if (slice >= slices) continue;
                for (int lane = 0; lane < ROWS; lane++)
                    weights[base + slice * vectors + position][lane] = bytes[part * ROWS + lane];
            }
        }
    }
}

// A row holds, tap by tap, a byte for each vector: row r of tap t is element t * rows + r of all of them.
static void to_weights_by_reduction(Beats &beats, const Rows &rows, int base, int vectors, int taps) {
rows:
    for (int position = 0; position < rows.rows; position++) {
    taps:
        for (int tap = 0; tap < taps; tap++) {
            const int element = tap * rows.rows + position;
        tap:
            for (int first = 0; first < vectors; first += BEAT_BYTES) {
#pragma HLS PIPELINE II=1
                int8_t bytes[BEAT_BYTES];
                unpack(beats.read(), bytes);
                for (int i = 0; i < BEAT_BYTES; i++)
                    if (first + i < vectors)
                        weights[base + element / ROWS * vectors + first + i][element % ROWS] = bytes[i];
            }
        }
    }
}

static void to_parameters(Beats &beats, int count, int entry) {
write:
    for (int beat = 0; beat < count; beat++) {
#pragma HLS PIPELINE II=1
        const Beat word = beats.read();
        for (int i = 0; i < PARAMETERS_PER_BEAT; i++, entry++) {
            const int low = 8 * PARAMETER_BYTES * i;
            Parameter &parameter = parameters[entry];
            parameter.bias = (int32_t)(uint32_t)ap_uint<32>(word.range(low + 8 * BIAS_BYTE + 31, low + 8 * BIAS_BYTE));
            parameter.multiplier = ap_uint<16>(word.range(low + 8 * MULTIPLIER_BYTE + 15, low + 8 * MULTIPLIER_BYTE));
            parameter.shift = ap_uint<8>(word.range(low + 8 * SHIFT_BYTE + 7, low + 8 * SHIFT_BYTE));
        }
    }
}

static void to_table(Beats &beats, int count, int table, int entries) {
write:
    for (int beat = 0; beat < count; beat++) {
#pragma HLS PIPELINE II=1
        const Beat word = beats.read();
        for (int i = 0; i < TABLE_ENTRIES_PER_BEAT; i++) {
            const int entry = beat * TABLE_ENTRIES_PER_BEAT + i;
            if (entry < entries) tables[table][entry] = ap_uint<16>(word.range(16 * i + 15, 16 * i));
        }
    }
    table_counts[table] = (uint16_t)entries;
    table_written[table] = true;
}

static void to_instructions(Beats &beats, int count, int entry) {
write:
    for (int beat = 0; beat < count; beat += INSTRUCTION_BEATS, entry++) {
        Instruction word;
        for (int part = 0; part < INSTRUCTION_BEATS; part++) {
#pragma HLS PIPELINE II=1
            word.range(8 * BEAT_BYTES * (part + 1) - 1, 8 * BEAT_BYTES * part) = beats.read();
        }
        instructions[entry] = word;
        instruction_loaded[entry] = true;
    }
}

static void write_rows(Beats &beats, const Rows &rows, const Load &load) {
    const int count = rows.rows * rows.beats, address = load.address, base = address * REGION_UNIT;
    switch ((int)load.space) {
    case SPACE_SCRATCHPAD: to_scratchpad(beats, count, address); break;
    case SPACE_WEIGHTS_BY_VECTOR: to_weights_by_vector(beats, rows, base, load.vectors, load.count); break;
    case SPACE_WEIGHTS_BY_REDUCTION: to_weights_by_reduction(beats, rows, base, load.vectors, load.taps); break;
    case SPACE_PARAMETERS: to_parameters(beats, count, address); break;
    case SPACE_TABLE: to_table(beats, count, address, load.count); break;
    default: to_instructions(beats, count, address); break;
    }
}

// Whether the words of `slices` slices of `used` vectors exist in the region.
static bool check_region(const Load &load, int slices, int used) {
    if (slices == 0 || used == 0) return true;
    const int vectors = load.vectors, base = (int)load.address * REGION_UNIT;
    return used <= vectors && base + (slices - 1) * vectors + used - 1 < WEIGHT_WORDS;
}

// Whether the destination exists and the rows are what its layout needs.
static bool check_destination(const Rows &rows, const Load &load) {
    const int address = load.address, count = load.count, taps = load.taps, vectors = load.vectors;
    const int beats = rows.rows * rows.beats;
    switch ((int)load.space) {
    case SPACE_SCRATCHPAD: return in_scratchpad(address, (int64_t)beats * BEAT_BYTES);
    case SPACE_WEIGHTS_BY_VECTOR:
        return ceil_div(count, SLICES_PER_BEAT) <= rows.beats && check_region(load, count, rows.rows);
    case SPACE_WEIGHTS_BY_REDUCTION:
        return rows.beats == taps * ceil_div(vectors, BEAT_BYTES) &&
               check_region(load, ceil_div(taps * rows.rows, ROWS), vectors);
    case SPACE_PARAMETERS: return address + beats * PARAMETERS_PER_BEAT <= PARAMETER_ENTRIES;
    case SPACE_TABLE:
        return address < TABLES && count <= TABLE_ENTRIES && ceil_div(count, TABLE_ENTRIES_PER_BEAT) <= beats;
    case SPACE_INSTRUCTIONS:
        return beats % INSTRUCTION_BEATS == 0 && address + beats / INSTRUCTION_BEATS <= INSTRUCTION_ENTRIES;
    default: return false;
    }
}

static void transfer(const Beat *memory, const Rows &rows, const Picked picked, const Load &load) {
#pragma HLS DATAFLOW
    Beats beats("beats");
#pragma HLS STREAM variable=beats depth=64
    read_rows(memory, rows, picked, beats);
    write_rows(beats, rows, load);
}

int run_load(const Beat *memory, uint64_t dram_bytes, uint32_t place, const Load &load) {
    Rows rows;
    rows.dram_address = (uint32_t)load.dram_address + (load.ring ? place : 0);
    rows.first = load.first_row;
    rows.beats = load.row_beats;
    rows.stride = load.row_stride;
    rows.picked = load.row_table != NO_TABLE;
    const int table = load.row_table;
    if (!bounded(table, rows.first, load.rows, rows.rows)) return ERROR_ILLEGAL_OPERANDS;
    Picked picked;
copy:
    for (int position = 0; rows.picked && position < rows.rows; position++) {
#pragma HLS PIPELINE II=1
        picked[position] = tables[table][rows.first + position];
    }
    const int error = check_rows(rows, picked, dram_bytes);
    if (error != ERROR_NONE) return error;
    if (!check_destination(rows, load)) return ERROR_ILLEGAL_OPERANDS;
    transfer(memory, rows, picked, load);
    return ERROR_NONE;
}

int load_boot_page(const Beat *memory, uint64_t dram_bytes, uint32_t address, uint32_t count) {
    if (count > (uint32_t)INSTRUCTION_ENTRIES) return ERROR_ILLEGAL_OPERANDS;
    const Rows rows = {address, 0, 1, (int)count * INSTRUCTION_BEATS, 0, false};
    const Picked none = {};
    const int error = check_rows(rows, none, dram_bytes);
    if (error != ERROR_NONE) return error;
    Load load;
    load.space = SPACE_INSTRUCTIONS;
    load.address = load.count = load.vectors = load.taps = 0;
    transfer(memory, rows, none, load);
    return ERROR_NONE;
}
