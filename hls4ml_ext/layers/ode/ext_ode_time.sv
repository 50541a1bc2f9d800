// The state with the time as one more channel: the words of a pixel are collected; while those of the next one come, it goes out
// in beats whose lanes divide CHANNELS + 1.
//
//   parameters  PIXELS, CHANNELS, W    of the state, and bits of a number
//               LANES_IN, LANES_OUT    of a word of the state, and of a beat
//               N_EVALUATIONS, TIMES   evaluations, and the time of each, the first in the low bits
//   cycles      max(CHANNELS / LANES_IN, (CHANNELS + 1) / LANES_OUT) a pixel
//   latency     3 cycles behind the last word of a pixel
//   storage     two pixels in registers; a FIFO of 3 beats
module ext_ode_time #(
    parameter int PIXELS = 16,
    parameter int CHANNELS = 3,
    parameter int W = 12,
    parameter int LANES_IN = 1,
    parameter int LANES_OUT = 2,
    parameter int N_EVALUATIONS = 2,
    parameter logic [N_EVALUATIONS*W-1:0] TIMES = '0
) (
    input  logic                   clk,
    input  logic                   rst,
    input  logic [LANES_IN*W-1:0]  s_data,
    input  logic                   s_valid,
    output logic                   s_ready,
    output logic [LANES_OUT*W-1:0] m_data,
    output logic                   m_valid,
    input  logic                   m_ready
);
    localparam int WORDS = CHANNELS / LANES_IN;
    localparam int BEATS = (CHANNELS + 1) / LANES_OUT;
    localparam int C = $clog2(WORDS + 1);
    localparam int B = $clog2(BEATS + 1);
    localparam int P = PIXELS < 2 ? 1 : $clog2(PIXELS);
    localparam int E = N_EVALUATIONS < 2 ? 1 : $clog2(N_EVALUATIONS);
    if (CHANNELS % LANES_IN != 0 || (CHANNELS + 1) % LANES_OUT != 0) $error("ext_ode_time: LANES_IN, LANES_OUT");

    logic [CHANNELS*W-1:0] comes;
    logic [(CHANNELS+1)*W-1:0] goes;
    logic [C-1:0] words; // that have come
    logic [B-1:0] beats; // that have to go
    logic [P-1:0] pixel;
    logic [E-1:0] evaluation;
    logic room;
    wire whole = words == C'(WORDS);
    wire give = beats != '0 && room;
    wire pass = whole && (beats == '0 || (beats == B'(1) && room));
    wire last_pixel = pixel == P'(PIXELS - 1);
    assign s_ready = !whole || pass;
    wire take = s_valid && s_ready;
    wire [W-1:0] now = TIMES[evaluation*W +: W];
    wire [(CHANNELS+LANES_IN)*W-1:0] moved = {s_data, comes};
    wire unused = ^moved[LANES_IN*W-1:0];
    always_ff @(posedge clk) begin
        if (take) comes <= moved[(CHANNELS+LANES_IN)*W-1:LANES_IN*W];
        if (pass) goes <= {now, comes};
        else if (give) goes <= goes >> LANES_OUT*W;
    end
    always_ff @(posedge clk)
        if (rst) begin
            words <= '0;
            beats <= '0;
            pixel <= '0;
            evaluation <= '0;
        end else begin
            words <= (pass ? '0 : words) + C'(take);
            if (pass) beats <= B'(BEATS);
            else if (give) beats <= beats - 1'b1;
            if (pass) begin
                pixel <= last_pixel ? '0 : pixel + 1'b1;
                if (last_pixel) evaluation <= evaluation == E'(N_EVALUATIONS - 1) ? '0 : evaluation + 1'b1;
            end
        end
    ext_fifo #(.WIDTH(LANES_OUT*W)) fifo (
        .clk, .rst, .s_data(goes[LANES_OUT*W-1:0]), .s_valid(beats != '0), .s_ready(room), .m_data, .m_valid, .m_ready);
endmodule
