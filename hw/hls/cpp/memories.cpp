#include "memories.h"

int8_t scratchpad[SCRATCHPAD_BYTES];
int8_t patches[PATCH_WORDS][ROWS];
int8_t weights[WEIGHT_WORDS][ROWS];
int32_t accumulators[ACCUMULATOR_BANKS][ACCUMULATOR_DEPTH][COLUMNS];
Parameter parameters[PARAMETER_ENTRIES];
uint16_t tables[TABLES][TABLE_ENTRIES];
uint16_t table_counts[TABLES];
bool table_written[TABLES];
bool masks[MASKS * MASK_BITS];
Instruction instructions[INSTRUCTION_ENTRIES];
bool instruction_loaded[INSTRUCTION_ENTRIES];

void clear_at_start() {
masks:
    for (int bit = 0; bit < MASKS * MASK_BITS; bit++) {
#pragma HLS PIPELINE II=1
        masks[bit] = false;
    }
counts:
    for (int table = 0; table < TABLES; table++) {
#pragma HLS PIPELINE II=1
        table_counts[table] = 0;
        table_written[table] = false;
    }
loaded:
    for (int entry = 0; entry < INSTRUCTION_ENTRIES; entry++) {
#pragma HLS PIPELINE II=1
        instruction_loaded[entry] = false;
    }
}
