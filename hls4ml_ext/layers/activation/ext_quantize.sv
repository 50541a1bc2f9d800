// Rounds the numbers of a beat.
//
//   parameters  LANES                       numbers of a beat
//               W_X, X_SIGNED               of a number
//               W_Y, Y_SIGNED, SHIFT, ROUNDING, SATURATION  of a result; see ext_requantize
//               DEPTH                       results in flight and in the FIFO; see ext_result
//   cycles      one a beat
//   latency     4 cycles
//   storage     two registers a lane; the FIFO
module ext_quantize #(
    parameter int LANES = 4,
    parameter int W_X = 8,
    parameter bit X_SIGNED = 1,
    parameter int W_Y = 4,
    parameter bit Y_SIGNED = 1,
    parameter int SHIFT = 4,
    parameter ROUNDING = "RND_CONV",
    parameter SATURATION = "SAT",
    parameter int DEPTH = 8,
    parameter STYLE = "auto"
) (
    input  logic                 clk,
    input  logic                 rst,
    input  logic [LANES*W_X-1:0] s_data,
    input  logic                 s_valid,
    output logic                 s_ready,
    output logic [LANES*W_Y-1:0] m_data,
    output logic                 m_valid,
    input  logic                 m_ready
);
    localparam int XS = W_X + (X_SIGNED ? 0 : 1);
    if (LANES < 1) $error("ext_quantize: LANES %0d", LANES);

    wire step = s_valid && s_ready;
    logic valid;
    logic [LANES*W_Y-1:0] y;
    for (genvar i = 0; i < LANES; i++) begin : lane
        logic signed [XS-1:0] x;
        if (X_SIGNED) begin : x_signed
            assign x = s_data[i*W_X +: W_X];
        end else begin : x_unsigned
            assign x = {1'b0, s_data[i*W_X +: W_X]};
        end
        ext_requantize #(.W_X(XS), .W_Y(W_Y), .Y_SIGNED(Y_SIGNED), .SHIFT(SHIFT), .ROUNDING(ROUNDING),
            .SATURATION(SATURATION)) requantize (.clk, .x, .y(y[i*W_Y +: W_Y]));
    end
    ext_delay #(.WIDTH(1), .CYCLES(2), .RESET(1)) delay (.clk, .rst, .d(step), .q(valid));
    ext_result #(.WIDTH(LANES*W_Y), .DEPTH(DEPTH), .STYLE(STYLE)) result (
        .clk, .rst, .take(step), .room(s_ready), .s_data(y), .s_valid(valid), .m_data, .m_valid, .m_ready);
endmodule
