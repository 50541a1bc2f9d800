"""The RTL back end: an exact graph as SystemVerilog, simulated by Verilator."""
