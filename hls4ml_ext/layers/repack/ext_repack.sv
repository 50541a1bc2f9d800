// The same numbers in wider or narrower beats. One width divides the other.
//
//   parameters  FROM, TO  bits of a beat
//               DEPTH     of the FIFO behind it
//   cycles      one for each beat of the narrower stream
//   latency     2 cycles
//   storage     a shift register of a wide beat without a narrow one; the FIFO
module ext_repack #(
    parameter int FROM = 8,
    parameter int TO = 32,
    parameter int DEPTH = 2,
    parameter STYLE = "auto"
) (
    input  logic            clk,
    input  logic            rst,
    input  logic [FROM-1:0] s_data,
    input  logic            s_valid,
    output logic            s_ready,
    output logic [TO-1:0]   m_data,
    output logic            m_valid,
    input  logic            m_ready
);
    localparam int WIDE = FROM > TO ? FROM : TO;
    localparam int NARROW = FROM > TO ? TO : FROM;
    localparam int SLOTS = WIDE / NARROW;
    localparam int A = $clog2(SLOTS);
    if (SLOTS < 2 || WIDE % NARROW != 0) $error("ext_repack: FROM %0d, TO %0d", FROM, TO);

    logic [A-1:0] slot; // which narrow beat of the wide one
    logic [WIDE-NARROW-1:0] held;
    logic [TO-1:0] beat;
    logic room, push, step;
    wire last = slot == A'(SLOTS - 1);
    if (FROM > TO) begin : narrower
        wire first = slot == '0;
        assign beat = first ? s_data[TO-1:0] : held[TO-1:0];
        assign s_ready = first && room;
        assign push = !first || s_valid;
        assign step = push && room;
        always_ff @(posedge clk) if (step) held <= first ? s_data[WIDE-1:NARROW] : held >> NARROW;
    end else begin : wider
        wire [WIDE-1:0] moved = {s_data, held};
        assign beat = moved;
        assign s_ready = !last || room;
        assign push = last && s_valid;
        assign step = s_valid && s_ready;
        always_ff @(posedge clk) if (step) held <= moved[WIDE-1:NARROW];
    end
    always_ff @(posedge clk)
        if (rst) slot <= '0;
        else if (step) slot <= last ? '0 : slot + 1'b1;
    ext_fifo #(.WIDTH(TO), .DEPTH(DEPTH), .STYLE(STYLE)) fifo (
        .clk, .rst, .s_data(beat), .s_valid(push), .s_ready(room), .m_data, .m_valid, .m_ready);
endmodule
