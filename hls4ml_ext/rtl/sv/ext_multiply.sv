// The product of two numbers, registered.
//
//   parameters  W_X, X_SIGNED  bits of x, and whether it is two's complement
//               W_W, W_SIGNED  of w
//               IMPL           "lut": rows of the radix-4 digits of w; "dsp": left to the tool, which takes a DSP
//               TRIPLE         1: x comes as {3x, x}, 3x with W_X + 2 bits, for products that share an x; 0: as it is
//   cycles      one product a cycle
//   latency     1 cycle
//   storage     the product
//
// In simulation a product is `*`; SYNTHESIS, or EXT_ROWS for a test, makes the rows. The digits are 0 to 3, that of the sign
// 1, 0, -1 or -2: each row is one of 0, x, 2x, 3x and their complements, chosen in the LUTs of the adder that adds it.
module ext_multiply #(
    parameter int W_X = 8,
    parameter bit X_SIGNED = 1,
    parameter int W_W = 4,
    parameter bit W_SIGNED = 1,
    parameter IMPL = "lut",
    parameter bit TRIPLE = 0,
    localparam int XS = W_X + (X_SIGNED ? 0 : 1), // as signed numbers
    localparam int WS = W_W + (W_SIGNED ? 0 : 1),
    localparam int W_IN = W_X + (TRIPLE ? W_X + 2 : 0)
) (
    input  logic                    clk,
    input  logic [W_IN-1:0]         x,
    input  logic [W_W-1:0]          w,
    output logic signed [XS+WS-1:0] y
);
    if (W_X < 1 || W_W < 1) $error("ext_multiply: W_X %0d, W_W %0d", W_X, W_W);

    wire signed [XS-1:0] xs;
    wire signed [WS-1:0] ws;
    if (X_SIGNED) begin : x_signed
        assign xs = x[W_X-1:0];
    end else begin : x_unsigned
        assign xs = {1'b0, x[W_X-1:0]};
    end
    if (W_SIGNED) begin : w_signed
        assign ws = w;
    end else begin : w_unsigned
        assign ws = {1'b0, w};
    end

`ifdef SYNTHESIS
    localparam bit ROWS = IMPL == "lut";
`elsif EXT_ROWS
    localparam bit ROWS = IMPL == "lut";
`else
    localparam bit ROWS = 0;
`endif
    if (ROWS) begin : rows
        localparam int D = (W_W + 1) / 2; // digits
        localparam int R = XS + 2;        // bits of a row
        wire [2*D-1:0] digits;
        if (W_W % 2 == 0) begin : even
            assign digits = w;
        end else begin : odd
            assign digits = {W_SIGNED && w[W_W-1], w};
        end
        wire signed [R-1:0] x3;
        if (TRIPLE && X_SIGNED) begin : signed_triple
            assign x3 = x[W_IN-1 -: R];
        end else if (TRIPLE) begin : unsigned_triple
            assign x3 = {1'b0, x[W_IN-1 -: R-1]};
        end else begin : triple
            assign x3 = R'(xs) + $signed({xs, 1'b0});
        end
        for (genvar d = 0; d < D; d++) begin : digit
            wire hi = digits[2*d+1];
            wire lo = digits[2*d];
            wire signed [R-1:0] x1 = R'(xs);
            wire signed [R-1:0] x2 = R'($signed({xs, 1'b0}));
            localparam bit SIGN = W_SIGNED && d == D - 1;
            wire negative = SIGN && hi; // the row is a complement, 1 too small
            wire [R-1:0] row;
            if (SIGN) begin : top
                assign row = hi ? (lo ? ~x1 : ~x2) : (lo ? x1 : '0);
            end else begin : plain
                assign row = hi ? (lo ? x3 : x2) : (lo ? x1 : '0);
            end
            wire signed [R+2*d-1:0] sum; // of the rows up to this one
            if (d == 0 && SIGN) begin : only
                assign sum = row + R'(negative);
            end else if (d == 0) begin : first
                assign sum = row;
            end else begin : next
                // The lowest bit of both only makes the carry.
                wire [R-1:0] above = R'($signed(digit[d-1].sum[R+2*d-3:2*d]));
                wire [R:0] added = {above, negative} + {row, negative};
                assign sum = {added[R:1], digit[d-1].sum[2*d-1:0]};
            end
        end
        always_ff @(posedge clk) y <= (XS+WS)'(digit[D-1].sum);
    end else begin : whole
        always_ff @(posedge clk) y <= xs * ws;
        if (TRIPLE) begin : no_triple
            wire unused = ^x[W_IN-1:W_X];
        end
    end
endmodule
