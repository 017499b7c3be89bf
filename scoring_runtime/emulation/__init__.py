"""An FPGA kernel's bit-accurate simulation on the processor: for tests of a deployment without a board."""
