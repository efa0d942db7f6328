// The memories of the chip. Their contents outlive a call of the top, but for what a start clears (top.cpp).
#ifndef GATEWRIGHT_MEMORIES_H
#define GATEWRIGHT_MEMORIES_H

#include "machine.h"

// What a parameter entry holds of a channel; of a DEPTHWISE's weights the first two are six bytes.
struct Parameter {
    int32_t bias;
    uint16_t multiplier;
    uint8_t shift;
};

extern int8_t scratchpad[SCRATCHPAD_BYTES];
extern int8_t patches[PATCH_WORDS][ROWS];
extern int8_t weights[WEIGHT_WORDS][ROWS];
extern int32_t accumulators[ACCUMULATOR_BANKS][ACCUMULATOR_DEPTH][COLUMNS];
extern Parameter parameters[PARAMETER_ENTRIES];
extern uint16_t tables[TABLES][TABLE_ENTRIES];
extern uint16_t table_counts[TABLES];
extern bool table_written[TABLES];
extern bool masks[MASKS * MASK_BITS];
extern Instruction instructions[INSTRUCTION_ENTRIES];
extern bool instruction_loaded[INSTRUCTION_ENTRIES];

// Masks and the tables' counts are zero when the machine starts; a program must have written all else that it reads.
void clear_at_start();

// Whether `count` bytes from `first` on lie in the scratchpad.
inline bool in_scratchpad(int64_t first, int64_t count) { return first + count <= SCRATCHPAD_BYTES; }

// The address of a byte in row `y` of a map that may be a ring of rows. Addresses are sums modulo SCRATCHPAD_SPACE.
inline int ring_address(int64_t address, int y, int wrap_row, int wrap_bytes) {
    if (wrap_row != 0 && y >= wrap_row) address -= wrap_bytes;
    return (int)(address & (SCRATCHPAD_SPACE - 1));
}

// A beat's bytes, the one of the lowest address first, and back.
inline void unpack(const Beat &beat, int8_t bytes[BEAT_BYTES]) {
#pragma HLS INLINE
    const uint64_t low = ap_uint<64>(beat.range(63, 0)), high = ap_uint<64>(beat.range(127, 64));
    for (int i = 0; i < 8; i++) {
#pragma HLS UNROLL
        bytes[i] = (int8_t)(uint8_t)(low >> (8 * i));
        bytes[i + 8] = (int8_t)(uint8_t)(high >> (8 * i));
    }
}

inline Beat pack(const int8_t bytes[BEAT_BYTES]) {
#pragma HLS INLINE
    uint64_t low = 0, high = 0;
    for (int i = 0; i < 8; i++) {
#pragma HLS UNROLL
        low |= (uint64_t)(uint8_t)bytes[i] << (8 * i);
        high |= (uint64_t)(uint8_t)bytes[i + 8] << (8 * i);
    }
    Beat beat;
    beat.range(63, 0) = low;
    beat.range(127, 64) = high;
    return beat;
}

#endif
