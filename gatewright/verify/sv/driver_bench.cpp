// The machine of driver_bench.sv as a library: a host's accesses to registers and memory, and the clock between them.
//
// Everything here takes simulated time: an access as many cycles as its handshake, `run` as many as it is given, or
// fewer if the interrupt comes. Inputs are driven in front of a rising edge, outputs are read there.
#include <cstdint>
#include <memory>

#include "Vtop.h"
#include "Vtop___024root.h"
#include "verilated.h"

namespace {

constexpr int PATIENCE = 20000;  // cycles in which a register must answer
constexpr int NO_ANSWER = -1;

struct Context : VerilatedContext {
    Context() {  // in front of the model, whose first act is to look at its arguments
        static const char* none[] = {"machine"};
        commandArgs(1, none);
    }
};

struct Machine {
    Context context;
    Vtop top{&context, "top"};
    std::uint64_t cycles = 0;

    // The low half of a cycle, in which what is combinational follows the inputs.
    void settle() {
        top.clk = 0;
        top.eval();
    }
    void edge() {
        top.clk = 1;
        top.eval();
        ++cycles;
    }
    void cycle() {
        settle();
        edge();
    }
};

Machine& at(void* machine) { return *static_cast<Machine*>(machine); }

}  // namespace

extern "C" {

// `base`: the memory's first address; `stall`: 0, or a seed of random pauses.
void* gatewright_open(std::uint32_t base, std::uint32_t stall) {
    auto machine = std::make_unique<Machine>();
    auto& top = machine->top;
    top.base = base;
    top.stall = stall;
    top.image_beats = sizeof(top.rootp->driver_bench__DOT__dram__DOT__memory) / 16;
    top.rst = 1;
    for (int i = 0; i < 4; ++i) machine->cycle();
    top.rst = 0;
    machine->cycle();
    return machine.release();
}

void gatewright_close(void* machine) {
    at(machine).top.final();
    delete &at(machine);
}

// The memory's bytes, shared with the host: nothing is copied, and no cache lies between.
std::uint8_t* gatewright_memory(void* machine) {
    return reinterpret_cast<std::uint8_t*>(&at(machine).top.rootp->driver_bench__DOT__dram__DOT__memory);
}

std::uint64_t gatewright_memory_bytes(void* machine) {
    return sizeof(at(machine).top.rootp->driver_bench__DOT__dram__DOT__memory);
}

// Beats that answer; those behind are answered with DECERR.
void gatewright_limit(void* machine, std::uint32_t beats) { at(machine).top.image_beats = beats; }

std::uint64_t gatewright_cycles(void* machine) { return at(machine).cycles; }

// Write a register; AXI's response, or NO_ANSWER.
int gatewright_write(void* machine, std::uint32_t offset, std::uint32_t value) {
    auto& m = at(machine);
    auto& top = m.top;
    top.s_axi_awaddr = offset;
    top.s_axi_wdata = value;
    top.s_axi_wstrb = 0xF;
    top.s_axi_awvalid = top.s_axi_wvalid = top.s_axi_bready = 1;
    int response = NO_ANSWER;
    for (int i = 0; i < PATIENCE && response == NO_ANSWER; ++i) {
        m.settle();
        const bool address = top.s_axi_awready, data = top.s_axi_wready, answer = top.s_axi_bvalid;
        if (answer) response = top.s_axi_bresp;
        m.edge();
        if (address) top.s_axi_awvalid = 0;
        if (data) top.s_axi_wvalid = 0;
    }
    top.s_axi_awvalid = top.s_axi_wvalid = top.s_axi_bready = 0;
    return response;
}

// Read a register; AXI's response, or NO_ANSWER.
int gatewright_read(void* machine, std::uint32_t offset, std::uint32_t* value) {
    auto& m = at(machine);
    auto& top = m.top;
    top.s_axi_araddr = offset;
    top.s_axi_arvalid = top.s_axi_rready = 1;
    int response = NO_ANSWER;
    for (int i = 0; i < PATIENCE && response == NO_ANSWER; ++i) {
        m.settle();
        const bool address = top.s_axi_arready;
        if (top.s_axi_rvalid) {
            response = top.s_axi_rresp;
            *value = top.s_axi_rdata;
        }
        m.edge();
        if (address) top.s_axi_arvalid = 0;
    }
    top.s_axi_arvalid = top.s_axi_rready = 0;
    return response;
}

// Let up to so many cycles pass; 1 as soon as the interrupt is there.
int gatewright_run(void* machine, std::uint64_t cycles) {
    auto& m = at(machine);
    for (std::uint64_t i = 0; i < cycles && !m.top.raised && !m.top.broken; ++i) m.cycle();
    return m.top.raised;
}

// Whether a rule of AXI was broken, which one (gatewright/verify/rules.py), and with what.
int gatewright_broken(void* machine, std::uint32_t* code, std::uint32_t* value) {
    *code = at(machine).top.broken_code;
    *value = at(machine).top.broken_value;
    return at(machine).top.broken;
}

}  // extern "C"
