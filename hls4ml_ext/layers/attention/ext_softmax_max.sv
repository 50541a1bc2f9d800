// Softmax, first part: keeps a row of LENGTH tokens, and finds its maximum in each lane.
//
//   parameters  LANES, LENGTH
//               W_X, X_SIGNED  of a number
//               STYLE          ram_style of the row
//   cycles      one a token
//   latency     2 cycles: of a token to the first output, of the last token of a row to its maxima, the second output
//   storage     a FIFO of LENGTH + 4 tokens, so that the next row comes while this one is used; one of maxima
module ext_softmax_max #(
    parameter int LANES = 2,
    parameter int LENGTH = 6,
    parameter int W_X = 8,
    parameter bit X_SIGNED = 1,
    parameter STYLE = "auto"
) (
    input  logic                 clk,
    input  logic                 rst,
    input  logic [LANES*W_X-1:0] s_data,
    input  logic                 s_valid,
    output logic                 s_ready,
    output logic [LANES*W_X-1:0] m0_data,
    output logic                 m0_valid,
    input  logic                 m0_ready,
    output logic [LANES*W_X-1:0] m1_data,
    output logic                 m1_valid,
    input  logic                 m1_ready
);
    localparam int A = LENGTH < 2 ? 1 : $clog2(LENGTH);
    if (LANES < 1 || LENGTH < 1 || W_X < 1) $error("ext_softmax_max: LANES, LENGTH, W_X");

    logic [A-1:0] j;
    logic room, max_room;
    wire first = j == '0;
    wire last = j == A'(LENGTH - 1);
    assign s_ready = room && (!last || max_room);
    wire step = s_valid && s_ready;
    always_ff @(posedge clk)
        if (rst) j <= '0;
        else if (step) j <= last ? '0 : j + 1'b1;

    logic [LANES*W_X-1:0] running, maxima;
    always_ff @(posedge clk) if (step) running <= maxima;
    for (genvar a = 0; a < LANES; a++) begin : lane
        wire [W_X-1:0] x = s_data[a*W_X +: W_X];
        wire [W_X-1:0] r = running[a*W_X +: W_X];
        // With the sign inverted, signed numbers are in the order of unsigned ones.
        wire [W_X-1:0] flip = W_X'(X_SIGNED) << (W_X - 1);
        assign maxima[a*W_X +: W_X] = first || (x ^ flip) > (r ^ flip) ? x : r;
    end

    ext_fifo #(.WIDTH(LANES*W_X), .DEPTH(LENGTH + 4), .STYLE(STYLE)) row (
        .clk, .rst, .s_data, .s_valid(s_valid && (!last || max_room)), .s_ready(room),
        .m_data(m0_data), .m_valid(m0_valid), .m_ready(m0_ready));
    ext_fifo #(.WIDTH(LANES*W_X), .DEPTH(2 + (LENGTH + 4) / LENGTH)) maximum (
        .clk, .rst, .s_data(maxima), .s_valid(s_valid && last && room), .s_ready(max_room),
        .m_data(m1_data), .m_valid(m1_valid), .m_ready(m1_ready));
endmodule
