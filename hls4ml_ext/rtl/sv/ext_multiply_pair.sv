// Two products with a common factor, x * w0 and x * w1, from one multiplier: x * (w1 * 2^K + w0), taken apart.
//
//   parameters  W_X, X_SIGNED  bits of x, and whether it is two's complement; at most 18 as a signed number
//               W_W, W_SIGNED  of both w; as signed numbers at most 27 - (bits of a product) - 1
//   cycles      two products a cycle
//   latency     2 cycles
//   storage     the packed factor and the packed product: the registers of a DSP48E2 (Fu et al., "Deep Learning with INT8
//               Optimization on Xilinx Devices", WP486, for weights of 8 bits)
module ext_multiply_pair #(
    parameter int W_X = 8,
    parameter bit X_SIGNED = 1,
    parameter int W_W = 4,
    parameter bit W_SIGNED = 1,
    localparam int XS = W_X + (X_SIGNED ? 0 : 1), // as signed numbers
    localparam int WS = W_W + (W_SIGNED ? 0 : 1),
    localparam int W_P = XS + WS
) (
    input  logic                  clk,
    input  logic [W_X-1:0]        x,
    input  logic [W_W-1:0]        w0,
    input  logic [W_W-1:0]        w1,
    output logic signed [W_P-1:0] y0,
    output logic signed [W_P-1:0] y1
);
    localparam int W_F = W_P + WS + 1; // bits of the packed factor
    if (XS > 18 || W_F > 27) $error("ext_multiply_pair: %0d x %0d bits are too wide for a DSP48E2", XS, W_F);

    logic signed [XS-1:0] xs, x_1;
    logic signed [WS-1:0] ws0, ws1;
    if (X_SIGNED) begin : x_signed
        assign xs = x;
    end else begin : x_unsigned
        assign xs = {1'b0, x};
    end
    if (W_SIGNED) begin : w_signed
        assign ws0 = w0;
        assign ws1 = w1;
    end else begin : w_unsigned
        assign ws0 = {1'b0, w0};
        assign ws1 = {1'b0, w1};
    end
    logic signed [W_F-1:0] factor;
    logic signed [XS+W_F-1:0] product;
    always_ff @(posedge clk) begin
        x_1 <= xs;
        factor <= (W_F'(ws1) <<< W_P) + W_F'(ws0);
        product <= x_1 * factor;
    end
    // A negative lower product has borrowed from the upper one.
    assign y0 = product[W_P-1:0];
    assign y1 = product[2*W_P-1:W_P] + W_P'(product[W_P-1]);
    wire unused = ^product[XS+W_F-1:2*W_P];
endmodule
