// STORE: beats from the scratchpad to DRAM.
#include "memories.h"
#include "units.h"

int run_store(Beat *memory, uint64_t dram_bytes, uint32_t place, const Store &store) {
    const uint32_t target = (uint32_t)store.dram_address + (store.ring ? place : 0);
    const int source = store.address, beats = store.beats;
    if (target % BEAT_BYTES || source % BEAT_BYTES) return ERROR_ILLEGAL_OPERANDS;
    if (target + (uint64_t)beats * BEAT_BYTES > dram_bytes) return ERROR_WRITE_BUS;
    if (!in_scratchpad(source, (int64_t)beats * BEAT_BYTES)) return ERROR_ILLEGAL_OPERANDS;
write:
    for (int beat = 0; beat < beats; beat++) {
#pragma HLS PIPELINE II=1
        memory[target / BEAT_BYTES + beat] = pack(&scratchpad[source + beat * BEAT_BYTES]);
    }
    return ERROR_NONE;
}
