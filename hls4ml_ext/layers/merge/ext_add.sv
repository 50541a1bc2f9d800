// The sum of two streams, number by number, rounded once.
//
//   parameters  LANES                      numbers of a beat
//               W_X0, X0_SIGNED, X0_SHIFT  of the first stream, and fractional bits that the sum has more
//               W_X1, X1_SIGNED, X1_SHIFT  of the second
//               W_A                        bits of the sum
//               W_Y, Y_SIGNED, SHIFT, ROUNDING, SATURATION  of a result; see ext_requantize
//               DEPTH                      results in flight and in the FIFO; see ext_result
//   cycles      one a beat
//   latency     5 cycles
//   storage     three registers a lane; the FIFO
module ext_add #(
    parameter int LANES = 4,
    parameter int W_X0 = 8,
    parameter bit X0_SIGNED = 1,
    parameter int X0_SHIFT = 0,
    parameter int W_X1 = 8,
    parameter bit X1_SIGNED = 1,
    parameter int X1_SHIFT = 0,
    parameter int W_A = 9,
    parameter int W_Y = 8,
    parameter bit Y_SIGNED = 1,
    parameter int SHIFT = 1,
    parameter ROUNDING = "RND_CONV",
    parameter SATURATION = "SAT",
    parameter int DEPTH = 8,
    parameter STYLE = "auto"
) (
    input  logic                  clk,
    input  logic                  rst,
    input  logic [LANES*W_X0-1:0] s0_data,
    input  logic                  s0_valid,
    output logic                  s0_ready,
    input  logic [LANES*W_X1-1:0] s1_data,
    input  logic                  s1_valid,
    output logic                  s1_ready,
    output logic [LANES*W_Y-1:0]  m_data,
    output logic                  m_valid,
    input  logic                  m_ready
);
    if (LANES < 1 || X0_SHIFT < 0 || X1_SHIFT < 0) $error("ext_add: LANES %0d, shifts", LANES);

    // Both beats are taken at once: each one waits for the other.
    logic room, valid;
    wire step = s0_valid && s1_valid && room;
    assign s0_ready = s1_valid && room;
    assign s1_ready = s0_valid && room;

    logic [LANES*W_Y-1:0] y;
    for (genvar i = 0; i < LANES; i++) begin : lane
        logic signed [W_A-1:0] a, b, sum;
        if (X0_SIGNED) begin : first_signed
            wire signed [W_X0-1:0] x = s0_data[i*W_X0 +: W_X0];
            assign a = W_A'(x);
        end else begin : first_unsigned
            assign a = W_A'(s0_data[i*W_X0 +: W_X0]);
        end
        if (X1_SIGNED) begin : second_signed
            wire signed [W_X1-1:0] x = s1_data[i*W_X1 +: W_X1];
            assign b = W_A'(x);
        end else begin : second_unsigned
            assign b = W_A'(s1_data[i*W_X1 +: W_X1]);
        end
        always_ff @(posedge clk) sum <= (a <<< X0_SHIFT) + (b <<< X1_SHIFT);
        ext_requantize #(.W_X(W_A), .W_Y(W_Y), .Y_SIGNED(Y_SIGNED), .SHIFT(SHIFT), .ROUNDING(ROUNDING),
            .SATURATION(SATURATION)) requantize (.clk, .x(sum), .y(y[i*W_Y +: W_Y]));
    end
    ext_delay #(.WIDTH(1), .CYCLES(3), .RESET(1)) delay (.clk, .rst, .d(step), .q(valid));
    ext_result #(.WIDTH(LANES*W_Y), .DEPTH(DEPTH), .STYLE(STYLE)) result (
        .clk, .rst, .take(step), .room, .s_data(y), .s_valid(valid), .m_data, .m_valid, .m_ready);
endmodule
