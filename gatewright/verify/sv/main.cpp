// The simulator's program: model, time, and the callbacks of cocotb, which drives the ports.
//
// In a bench that says when it is `alone` (GATEWRIGHT_ALONE: the port is there), the clock runs on here, without
// callbacks and without Python, until it no longer is: cocotb at each clock edge took 15% of the time.
#include <algorithm>
#include <memory>

#include "Vtop.h"
#include "verilated.h"
#include "verilated_vpi.h"

static vluint64_t now = 0;
static constexpr int CYCLES = 1000;  // alone at once; then cocotb's timers are looked at

double sc_time_stamp() { return static_cast<double>(now); }

extern "C" void vlog_startup_routines_bootstrap();  // cocotb's

static void tell_of_changes() {
    while (VerilatedVpi::callValueCbs()) {}  // a callback may change values
}

// Everything that happens in a time step.
static void settle(Vtop& top) {
    do {
        do {
            top.eval_step();
            VerilatedVpi::clearEvalNeeded();
            VerilatedVpi::doInertialPuts();
            tell_of_changes();
        } while (VerilatedVpi::evalNeeded());
        VerilatedVpi::callCbs(cbReadWriteSynch);
        VerilatedVpi::doInertialPuts();
        tell_of_changes();
    } while (VerilatedVpi::evalNeeded());
    top.eval_end_step();
    VerilatedVpi::callCbs(cbReadOnlySynch);
}

// From a rising edge to a rising edge, as cocotb left the clock.
static void run_alone(Vtop& top) {
#ifdef GATEWRIGHT_ALONE
    for (int cycle = 0; cycle < CYCLES && top.clk && top.alone && !Verilated::gotFinish(); ++cycle) {
        top.clk = 0;
        top.eval();
        top.clk = 1;
        top.eval();
        now += GATEWRIGHT_ALONE;  // the time steps of a cycle
    }
#endif
}

int main(int argc, char** argv) {
    Verilated::commandArgs(argc, argv);
    const auto top = std::make_unique<Vtop>("");
    Verilated::fatalOnVpiError(false);  // cocotb asks for things that need not be there
#if VM_TRACE
    Verilated::traceEverOn(true);  // the bench's $dumpfile
#endif
    vlog_startup_routines_bootstrap();
    VerilatedVpi::callCbs(cbStartOfSimulation);
    tell_of_changes();
    while (!Verilated::gotFinish()) {
        settle(*top);
        run_alone(*top);
        const vluint64_t next = VerilatedVpi::cbNextDeadline();
        if (next == ~0ULL) break;  // nobody waits for anything
        now = std::max(now, next);
        VerilatedVpi::callCbs(cbNextSimTime);
        tell_of_changes();
        VerilatedVpi::callTimedCbs();
        tell_of_changes();
    }
    top->final();
    VerilatedVpi::callCbs(cbEndOfSimulation);
    return Verilated::threadContextp()->errorCount() > 0;
}
