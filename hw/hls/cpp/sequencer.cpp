// The sequencer: one instruction after the other, each to its end. Waits order a program whose units overlap; here
// everything before an instruction is complete, so a wait that names an earlier instruction is met.
#include "memories.h"
#include "units.h"

// What runs even inside a SKIP: the order of the pages, and the end.
static bool runs_always(int opcode, const Instruction &word) {
    return opcode == OPCODE_NEXT || opcode == OPCODE_END ||
           (opcode == OPCODE_LOAD && decode_load(word).space == SPACE_INSTRUCTIONS);
}

// What is wrong with an instruction's opcode, bits and waits. `given`: instructions that each unit was given.
static int check(const Instruction &word, const uint32_t given[UNITS]) {
    const Header header = decode_header(word);
    if (unit_of(header.opcode) == UNIT_NONE) return ERROR_ILLEGAL_OPCODE;
    if (has_stray_bits(word, header.opcode)) return ERROR_STRAY_BITS;
    for (int wait = 0; wait < WAITS; wait++)
        if (header.wait_unit[wait] != UNIT_NONE && !completes(header.wait_unit[wait])) return ERROR_ILLEGAL_WAIT;
    for (int wait = 0; wait < WAITS; wait++) {
        const int unit = header.wait_unit[wait];
        if (unit == UNIT_NONE) continue;
        // Counts are compared modulo their width: one in the upper half is ahead.
        const uint32_t behind = ap_uint<COUNT_BITS>(given[unit] - (uint32_t)header.wait_count[wait]);
        if (behind >> (COUNT_BITS - 1) || behind > given[unit]) return ERROR_WAIT_AHEAD;
    }
    return ERROR_NONE;
}

// The count that decides an EXIT or a SKIP: that of no table is 0.
static bool deciding_count(int table, int &count) {
    count = table < TABLES ? (int)table_counts[table] : 0;
    return table < TABLES || table == NO_TABLE;
}

Ended run_image(Beat *memory, uint64_t dram_bytes, uint32_t code_address, uint32_t boot_count, uint32_t input_place,
                uint32_t output_place, uint32_t limit) {
    Ended at = {load_boot_page(memory, dram_bytes, code_address, boot_count), 0, 0, 0};
    uint32_t given[UNITS], entry = 0, left_out = 0;
    for (int unit = 0; unit < UNITS; unit++) given[unit] = 0;
    if (at.error != ERROR_NONE) return at;
program:
    for (;; at.turn++) {
        at.entry = entry;
        at.error = ERROR_NONE;
        if (limit != 0 && at.turn == limit) at.error = ERROR_CYCLE_LIMIT;
        else if (entry >= (uint32_t)INSTRUCTION_ENTRIES) at.error = ERROR_FETCH_RANGE;
        else if (!instruction_loaded[entry]) at.error = ERROR_ILLEGAL_OPCODE;  // as cleared memory
        else at.error = check(instructions[entry], given);
        if (at.error != ERROR_NONE) return at;

        const Instruction word = instructions[entry++];
        const int opcode = decode_header(word).opcode;
        given[unit_of(opcode)]++;
        if (left_out > 0) {
            left_out--;
            if (!runs_always(opcode, word)) continue;
        }
        bool ends = false;
        switch (opcode) {
        case OPCODE_LOAD: at.error = run_load(memory, dram_bytes, input_place, decode_load(word)); break;
        case OPCODE_GATHER: at.error = run_gather(decode_gather(word)); break;
        case OPCODE_MATMUL: at.error = run_matmul(decode_matmul(word)); break;
        case OPCODE_EPILOGUE: at.error = run_epilogue(decode_epilogue(word)); break;
        case OPCODE_INDEX: at.error = run_index(decode_index(word)); break;
        case OPCODE_STORE: at.error = run_store(memory, dram_bytes, output_place, decode_store(word)); break;
        case OPCODE_NEXT: entry = decode_next(word).entry; break;
        case OPCODE_EXIT: {
            const Exit exit = decode_exit(word);
            int count;
            if (!deciding_count(exit.count_table, count)) at.error = ERROR_ILLEGAL_OPERANDS;
            ends = count > (int)exit.most;
            break;
        }
        case OPCODE_SKIP: {
            const Skip skip = decode_skip(word);
            int count;
            if (!deciding_count(skip.count_table, count)) at.error = ERROR_ILLEGAL_OPERANDS;
            if (count <= (int)skip.most) left_out = skip.instructions;
            break;
        }
        default: ends = true;  // END
        }
        if (at.error != ERROR_NONE) return at;
        at.dispatched++;
        if (ends) return at;
    }
}
