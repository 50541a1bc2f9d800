// The end of an engine: a FIFO for the results of a pipeline that runs free, without a clock enable. Work that will give a
// result takes a place in the FIFO as it enters the pipeline (`take`), and enters only while there is one (`room`), so that
// m_ready reaches no further than this module.
//
//   parameters  WIDTH  bits of a result
//               DEPTH  results in the pipeline and the FIFO; at least 3
//               STYLE  ram_style of the memory
//   cycles      one result a cycle, if DEPTH is at least the latency of the pipeline + 4
//   latency     2 cycles behind the pipeline
//   storage     DEPTH words of memory and a register
module ext_result #(
    parameter int WIDTH = 8,
    parameter int DEPTH = 8,
    parameter STYLE = "auto"
) (
    input  logic             clk,
    input  logic             rst,
    input  logic             take,
    output logic             room,
    input  logic [WIDTH-1:0] s_data,
    input  logic             s_valid,
    output logic [WIDTH-1:0] m_data,
    output logic             m_valid,
    input  logic             m_ready
);
    localparam int L = $clog2(DEPTH + 1);
    if (DEPTH < 3) $error("ext_result: DEPTH %0d", DEPTH);

    logic [L-1:0] places;
    wire give = m_valid && m_ready;
    always_ff @(posedge clk)
        if (rst) begin
            places <= L'(DEPTH);
            room <= 1'b1;
        end else begin
            places <= places - L'(take) + L'(give);
            room <= give || places > L'(take);
        end

    logic always_ready;
    ext_fifo #(.WIDTH(WIDTH), .DEPTH(DEPTH + 1), .STYLE(STYLE)) fifo (
        .clk, .rst, .s_data, .s_valid, .s_ready(always_ready), .m_data, .m_valid, .m_ready);
    wire unused = always_ready;
endmodule
