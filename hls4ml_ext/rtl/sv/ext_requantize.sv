// x / 2^SHIFT as a number of W_Y bits, rounded and saturated as ap_fixed does.
//
//   parameters  W_X         bits of x, two's complement
//               W_Y         bits of y
//               Y_SIGNED    whether y is two's complement
//               SHIFT       fractional bits that x has more than y; may be negative
//               ROUNDING    "TRN": down; "RND": half up; "RND_CONV": half to even
//               SATURATION  "WRAP", "SAT", "SAT_SYM"
//   cycles      one number a cycle
//   latency     2 cycles: rounding, saturation
//   storage     two registers
module ext_requantize #(
    parameter int W_X = 20,
    parameter int W_Y = 8,
    parameter bit Y_SIGNED = 1,
    parameter int SHIFT = 6,
    parameter ROUNDING = "RND_CONV",
    parameter SATURATION = "SAT"
) (
    input  logic                  clk,
    input  logic signed [W_X-1:0] x,
    output logic [W_Y-1:0]        y
);
    localparam int RIGHT = SHIFT > 0 ? SHIFT : 0;
    localparam int LEFT = SHIFT < 0 ? -SHIFT : 0;
    localparam int W_V = (W_X > RIGHT ? W_X : RIGHT) + 2; // x + half
    localparam int W_Q = SHIFT > 0 ? W_V - RIGHT : W_X + LEFT;
    localparam int W_R = W_Q > W_Y + 1 ? W_Q : W_Y + 1;   // rounded; wide enough to look at the bits above y
    if (W_X < 1 || W_Y < 1) $error("ext_requantize: W_X %0d, W_Y %0d", W_X, W_Y);
    if (ROUNDING != "TRN" && ROUNDING != "RND" && ROUNDING != "RND_CONV") $error("ext_requantize: ROUNDING");
    if (SATURATION != "WRAP" && SATURATION != "SAT" && SATURATION != "SAT_SYM") $error("ext_requantize: SATURATION");

    logic signed [W_R-1:0] r;
    if (SHIFT > 0) begin : round
        wire signed [W_V-1:0] wide = W_V'(x);
        wire signed [W_Q-1:0] q = wide[W_V-1:RIGHT]; // rounded down
        logic up;
        if (ROUNDING == "TRN") begin : down
            assign up = 1'b0;
        end else if (ROUNDING == "RND") begin : half_up
            assign up = wide[RIGHT-1];
        end else begin : half_to_even
            wire [RIGHT:0] low = {wide[RIGHT], wide[RIGHT-1:0]};
            assign up = low[RIGHT-1] && (low[RIGHT] || |(low[RIGHT-1:0] << 1));
        end
        always_ff @(posedge clk) r <= W_R'(q) + W_R'($signed({1'b0, up}));
        wire unused = ^wide[RIGHT-1:0];
    end else begin : exact
        wire signed [W_Q-1:0] q = W_Q'(x) <<< LEFT;
        always_ff @(posedge clk) r <= W_R'(q);
    end

    wire negative = r[W_R-1];
    if (SATURATION == "WRAP") begin : wrap
        always_ff @(posedge clk) y <= r[W_Y-1:0];
        wire unused = ^{negative, r};
    end else if (!Y_SIGNED) begin : saturate_unsigned
        wire fits = ~|r[W_R-1:W_Y];
        always_ff @(posedge clk) y <= fits ? r[W_Y-1:0] : {W_Y{~negative}};
    end else begin : saturate_signed
        wire fits = &r[W_R-1:W_Y-1] || ~|r[W_R-1:W_Y-1];
        localparam logic [W_Y-1:0] HI = {W_Y{1'b1}} >> 1;
        localparam logic [W_Y-1:0] LO = SATURATION == "SAT_SYM" ? -HI : ~HI;
        // The one number without a counterpart fits, too, unless the range is symmetric.
        wire lowest = SATURATION == "SAT_SYM" && r[W_Y-1:0] == ~HI;
        always_ff @(posedge clk) y <= fits && !lowest ? r[W_Y-1:0] : negative ? LO : HI;
    end
endmodule
