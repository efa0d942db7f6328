// The units, a file each. A unit's function runs one instruction to its end and returns an ERROR_*: ERROR_NONE, or why
// the machine stops. `dram_bytes`: bytes of DRAM that are there; an access beyond them is an error of the bus.
#ifndef GATEWRIGHT_UNITS_H
#define GATEWRIGHT_UNITS_H

#include "machine.h"

// `place`: what is added to the address of an instruction of the images' rings.
int run_load(const Beat *memory, uint64_t dram_bytes, uint32_t place, const Load &load);
int run_gather(const Gather &gather);
int run_matmul(const Matmul &matmul);
int run_epilogue(const Epilogue &epilogue);
int run_index(const Index &index);
int run_store(Beat *memory, uint64_t dram_bytes, uint32_t place, const Store &store);

// Page 0 of a program: `count` instructions from a byte of DRAM on, to entry 0.
int load_boot_page(const Beat *memory, uint64_t dram_bytes, uint32_t address, uint32_t count);

// The kinds of EPILOGUE. Each returns whether its operands are legal. `epilogue_rules` are those that all share.
bool epilogue_rules(const Epilogue &epilogue, int pixels, int filters);
bool epilogue_store(const Epilogue &epilogue, int pixels, int filters);
bool epilogue_sums(const Epilogue &epilogue, int pixels, int filters);
bool epilogue_threshold(const Epilogue &epilogue, int pixels, int filters);
bool epilogue_windows(const Epilogue &epilogue);
bool epilogue_taps(const Epilogue &epilogue);
bool epilogue_depthwise(const Epilogue &epilogue);

// Where and why an image ended. ERROR_NONE: it is complete.
struct Ended {
    int error;
    uint32_t dispatched;  // instructions of this image that were dispatched, but for those that a SKIP left out
    uint32_t turn;        // all that had their turn: the number of the one that stopped the machine
    uint32_t entry;       // its entry of the instruction memory
};

// Run one image from page 0 to its END, or to an EXIT that is taken. `limit`: turns at most, 0 for any number.
Ended run_image(Beat *memory, uint64_t dram_bytes, uint32_t code_address, uint32_t boot_count, uint32_t input_place,
                uint32_t output_place, uint32_t limit);

#endif
