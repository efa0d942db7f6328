# For Vitis HLS: vitis_hls -f csim.tcl. Checked by reading only; nobody has run it in the vendor's tool.
# PART and PERIOD (ns) come from the environment; JOB is the folder of the job to simulate.
set part [expr {[info exists ::env(PART)] ? $::env(PART) : "xczu3eg-sbva484-1-e"}]
set period [expr {[info exists ::env(PERIOD)] ? $::env(PERIOD) : 10}]
set job [file normalize [expr {[info exists ::env(JOB)] ? $::env(JOB) : "job"}]]
open_project -reset gatewright_hls
set_top gatewright
foreach source [glob *.cpp] {
    if {$source eq "csim.cpp"} {
        add_files -tb $source
    } else {
        add_files $source
    }
}
open_solution -reset solution -flow_target vitis
set_part $part
create_clock -period $period
csim_design -argv $job
csynth_design
exit
