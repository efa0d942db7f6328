// The top function: a start of the machine, which runs `images` images to their end.
#ifndef GATEWRIGHT_TOP_H
#define GATEWRIGHT_TOP_H

#include "machine.h"

// Arguments have the names of the control registers (docs/registers.md) that they stand for. `memory` is the program's
// image in DRAM: register BASE. There are no cycles here, so no CYCLES and no CYCLE_LIMIT: `instruction_limit` stops an
// image that has had so many instructions (0: never), with that error. `dram_bytes`: what of memory is there.
// `error_turn` counts those that SKIPs left out as well, from the image's begin on: it is the number that the simulator
// gives to the instruction, where `error_instruction` is the RTL's.
void gatewright(Beat *memory, uint64_t dram_bytes, uint32_t code_address, uint32_t boot_count, uint32_t images,
                uint32_t input_offset, uint32_t input_stride, uint32_t input_slots, uint32_t output_offset,
                uint32_t output_stride, uint32_t output_slots, uint32_t instruction_limit, uint32_t *error_code,
                uint32_t *error_instruction, uint32_t *error_entry, uint32_t *error_turn, uint32_t *instructions_run,
                uint32_t *image);

#endif
