// Where paths begin and end, for Yosys' `sta`: AMD's registers and memories with delays in ps, those of Yosys' 7-series cells
// without their conditions, which `sta` can't read. Ports without delays are left out.
module FDRE (output Q, input C, CE, D, R);
    specify (posedge C => (Q : D)) = 303; $setup(D, posedge C, 0); $setup(CE, posedge C, 109); $setup(R, posedge C, 404); endspecify
endmodule
module FDSE (output Q, input C, CE, D, S);
    specify (posedge C => (Q : D)) = 303; $setup(D, posedge C, 0); $setup(CE, posedge C, 109); $setup(S, posedge C, 404); endspecify
endmodule
module SRL16E (output Q, input CE, CLK, D);
    specify (posedge CLK => (Q : D)) = 1472; $setup(D, posedge CLK, 173); $setup(CE, posedge CLK, 413); endspecify
endmodule
module SRLC32E (output Q, Q31, input CE, CLK, D);
    specify (posedge CLK => (Q : D)) = 1472; (posedge CLK => (Q31 : D)) = 1114; $setup(D, posedge CLK, 173); endspecify
endmodule
module RAM32M16 (output [1:0] DOA, DOB, DOC, DOD, DOE, DOF, DOG, DOH, input [4:0] ADDRA, ADDRB, ADDRC, ADDRD, ADDRE, ADDRF, ADDRG, ADDRH, input WCLK, WE);
    specify
        (ADDRA *> DOA) = 642; (ADDRB *> DOB) = 642; (ADDRC *> DOC) = 642; (ADDRD *> DOD) = 642;
        (ADDRE *> DOE) = 642; (ADDRF *> DOF) = 642; (ADDRG *> DOG) = 642; (ADDRH *> DOH) = 642;
        $setup(WE, posedge WCLK, 654);
    endspecify
endmodule
module RAM64M8 (output DOA, DOB, DOC, DOD, DOE, DOF, DOG, DOH, input [5:0] ADDRA, ADDRB, ADDRC, ADDRD, ADDRE, ADDRF, ADDRG, ADDRH, input WCLK, WE);
    specify
        (ADDRA *> DOA) = 642; (ADDRB *> DOB) = 642; (ADDRC *> DOC) = 642; (ADDRD *> DOD) = 642;
        (ADDRE *> DOE) = 642; (ADDRF *> DOF) = 642; (ADDRG *> DOG) = 642; (ADDRH *> DOH) = 642;
        $setup(WE, posedge WCLK, 654);
    endspecify
endmodule
