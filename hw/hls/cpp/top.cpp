#include "top.h"

#include "memories.h"
#include "units.h"

// What is added to the program's addresses for an image, modulo 2^32: slots come again after `slots` images.
static uint32_t place(uint32_t number, uint32_t offset, uint32_t stride, uint32_t slots) {
    return offset + (slots == 0 ? number : number % slots) * stride;
}

void gatewright(Beat *memory, uint64_t dram_bytes, uint32_t code_address, uint32_t boot_count, uint32_t images,
                uint32_t input_offset, uint32_t input_stride, uint32_t input_slots, uint32_t output_offset,
                uint32_t output_stride, uint32_t output_slots, uint32_t instruction_limit, uint32_t *error_code,
                uint32_t *error_instruction, uint32_t *error_entry, uint32_t *error_turn, uint32_t *instructions_run,
                uint32_t *image) {
#pragma HLS INTERFACE m_axi port=memory offset=slave bundle=dram max_read_burst_length=256 max_write_burst_length=256
#pragma HLS INTERFACE s_axilite port=memory
#pragma HLS INTERFACE s_axilite port=dram_bytes
#pragma HLS INTERFACE s_axilite port=code_address
#pragma HLS INTERFACE s_axilite port=boot_count
#pragma HLS INTERFACE s_axilite port=images
#pragma HLS INTERFACE s_axilite port=input_offset
#pragma HLS INTERFACE s_axilite port=input_stride
#pragma HLS INTERFACE s_axilite port=input_slots
#pragma HLS INTERFACE s_axilite port=output_offset
#pragma HLS INTERFACE s_axilite port=output_stride
#pragma HLS INTERFACE s_axilite port=output_slots
#pragma HLS INTERFACE s_axilite port=instruction_limit
#pragma HLS INTERFACE s_axilite port=error_code
#pragma HLS INTERFACE s_axilite port=error_instruction
#pragma HLS INTERFACE s_axilite port=error_entry
#pragma HLS INTERFACE s_axilite port=error_turn
#pragma HLS INTERFACE s_axilite port=instructions_run
#pragma HLS INTERFACE s_axilite port=image
#pragma HLS INTERFACE s_axilite port=return
    clear_at_start();
    const uint32_t count = images == 0 ? 1 : images;
    uint32_t dispatched = 0, number = 0;
    Ended ended = {ERROR_NONE, 0, 0, 0};
run:
    for (; number < count; number++) {
        ended = run_image(memory, dram_bytes, code_address, boot_count,
                          place(number, input_offset, input_stride, input_slots),
                          place(number, output_offset, output_stride, output_slots), instruction_limit);
        dispatched += ended.dispatched;
        if (ended.error != ERROR_NONE) break;
    }
    *error_code = ended.error;
    *error_instruction = ended.error == ERROR_NONE ? 0 : dispatched;
    *error_entry = ended.error == ERROR_NONE ? 0 : ended.entry;
    *error_turn = ended.error == ERROR_NONE ? 0 : ended.turn;
    *instructions_run = dispatched;
    *image = number;
}
