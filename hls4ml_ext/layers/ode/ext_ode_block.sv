// The two ends of the dynamics of a Neural-ODE block, dz/dt = dynamics(z) with an explicit Runge-Kutta solver: the state goes to
// the dynamics word by word (m0), slopes come back (s1), and each updates its word at once.
//
// The state is updated in place. In raster order a word has been read before its slope arrives, so there is no second buffer; and
// a word is read for the next evaluation as soon as it has been updated, so the next evaluation follows the last one as a wave,
// at a distance of what the dynamics holds, and so does the next image. One counter is all of this: `in_flight`, the words that
// have been read and not yet updated, is at most an image.
//
// The state at the beginning of a step waits in a FIFO, `held`, for its slope; later stages find it in the memory `z`, and the
// slopes of earlier stages in a memory for each.
//
//   parameters  WORDS, LANES          words of the state, and numbers of each
//               N_STEPS, N_STAGES     of the solver
//               W_Z, Z_SIGNED         of a number of the state
//               Z_SHIFT               fractional bits that the sum has more than the state
//               Z_ROUNDING, Z_SATURATION  of the state; see ext_requantize
//               W_K, K_SIGNED         of a slope
//               K_SHIFT               fractional bits that the sum has more than the product of slope and coefficient
//               W_C, COEFFICIENTS     bits of a coefficient that is multiplied with; N_STAGES rows of N_STAGES numbers of 32 bits:
//                                     h * a from its second row on, then h * b; row 0 and slope 0 in the low bits
//               SHIFTS, KEPT          a bit for each slope: are all of its coefficients zero or powers of two? does a later stage
//                                     need it?
//               IMPL                  of the products; see ext_multiply
//               W_A                   bits of the sum
//               W_Y, Y_SIGNED, SHIFT, ROUNDING, SATURATION  of a result, made from the state; see ext_requantize
//               HELD_DEPTH            words that the dynamics holds
//               INPUT_DEPTH, DEPTH    of the FIFOs in front of the dynamics and behind the block
//               STATE_STYLE, KEPT_STYLE  of the memories
//   cycles      a word in and a word out a cycle
//   latency     5 cycles from a word to the dynamics; 6 + ceil(ceil(log2(N_STAGES + 1)) / 2) from a slope to the updated word,
//               2 more to the result
//   storage     WORDS words of the state; with several stages as many for z, and for each kept slope; FIFOs
module ext_ode_block #(
    parameter int WORDS = 16,
    parameter int LANES = 4,
    parameter int N_STEPS = 2,
    parameter int N_STAGES = 1,
    parameter int W_Z = 12,
    parameter bit Z_SIGNED = 1,
    parameter int Z_SHIFT = 0,
    parameter Z_ROUNDING = "RND_CONV",
    parameter Z_SATURATION = "SAT",
    parameter int W_K = 8,
    parameter bit K_SIGNED = 1,
    parameter int K_SHIFT = 0,
    parameter int W_C = 2,
    parameter logic [32*N_STAGES*N_STAGES-1:0] COEFFICIENTS = {N_STAGES*N_STAGES{32'd1}},
    parameter logic [N_STAGES-1:0] SHIFTS = '1,
    parameter logic [N_STAGES-1:0] KEPT = '0,
    parameter IMPL = "lut",
    parameter int W_A = 16,
    parameter int W_Y = 12,
    parameter bit Y_SIGNED = 1,
    parameter int SHIFT = 0,
    parameter ROUNDING = "RND_CONV",
    parameter SATURATION = "SAT",
    parameter int HELD_DEPTH = 16,
    parameter int INPUT_DEPTH = 8,
    parameter int DEPTH = 16,
    parameter STATE_STYLE = "auto",
    parameter KEPT_STYLE = "auto"
) (
    input  logic                 clk,
    input  logic                 rst,
    input  logic [LANES*W_Z-1:0] s0_data,
    input  logic                 s0_valid,
    output logic                 s0_ready,
    input  logic [LANES*W_K-1:0] s1_data,
    input  logic                 s1_valid,
    output logic                 s1_ready,
    output logic [LANES*W_Z-1:0] m0_data,
    output logic                 m0_valid,
    input  logic                 m0_ready,
    output logic [LANES*W_Y-1:0] m1_data,
    output logic                 m1_valid,
    input  logic                 m1_ready
);
    localparam int N = N_STEPS * N_STAGES; // evaluations
    localparam int A = WORDS < 2 ? 1 : $clog2(WORDS);
    localparam int E = N_STEPS < 2 ? 1 : $clog2(N_STEPS);
    localparam int S = N_STAGES < 2 ? 1 : $clog2(N_STAGES);
    localparam int F = $clog2(WORDS + 1);
    localparam int ZW = LANES * W_Z;
    localparam int KW = LANES * W_K;
    localparam int ZS = W_Z + (Z_SIGNED ? 0 : 1); // as signed numbers
    localparam int KS = W_K + (K_SIGNED ? 0 : 1);
    localparam int T_SUM = 3 + ($clog2(N_STAGES + 1) + 1) / 2; // cycles from a slope to the sum
    localparam int T_Z = T_SUM + 2;                            // to the updated word
    localparam int T_Y = T_Z + 2;                              // to the result
    if (WORDS < 1 || LANES < 1 || N_STEPS < 1 || N_STAGES < 1) $error("ext_ode_block: WORDS, LANES, N_STEPS, N_STAGES");
    if (Z_SHIFT < 0 || K_SHIFT < 0) $error("ext_ode_block: Z_SHIFT, K_SHIFT");

    // ---------------------------------------------------------------- to the dynamics
    logic [A-1:0] read_word;
    logic [E-1:0] read_step;
    logic [S-1:0] read_stage;
    logic [F-1:0] in_flight;
    logic input_room, held_room, updated;
    wire read_first = read_step == '0 && read_stage == '0; // words come from the stream
    wire read_starts = read_stage == '0;                   // a step: the state is held
    wire read_last_word = read_word == A'(WORDS - 1);
    wire read_last_stage = read_stage == S'(N_STAGES - 1);
    wire read_last_step = read_step == E'(N_STEPS - 1);
    wire there = N == 1 || in_flight < F'(WORDS);
    wire free = input_room && (held_room || !read_starts) && there;
    wire read = free && (!read_first || s0_valid);
    assign s0_ready = free && read_first;
    always_ff @(posedge clk)
        if (rst) begin
            read_word <= '0;
            read_step <= '0;
            read_stage <= '0;
            in_flight <= '0;
        end else begin
            in_flight <= in_flight + F'(read) - F'(updated);
            if (read) begin
                read_word <= read_last_word ? '0 : read_word + 1'b1;
                if (read_last_word) read_stage <= read_last_stage ? '0 : read_stage + 1'b1;
                if (read_last_word && read_last_stage) read_step <= read_last_step ? '0 : read_step + 1'b1;
            end
        end

    logic [ZW-1:0] fresh, stored, state;
    logic was_first, valid, starts;
    logic [ZW-1:0] next_state;
    logic [A-1:0] write_word;
    ext_delay #(.WIDTH(ZW), .CYCLES(2)) delay_fresh (.clk, .rst, .d(s0_data), .q(fresh));
    ext_delay #(.WIDTH(1), .CYCLES(2)) delay_first (.clk, .rst, .d(read_first), .q(was_first));
    ext_delay #(.WIDTH(1), .CYCLES(2), .RESET(1)) delay_read (.clk, .rst, .d(read), .q(valid));
    ext_delay #(.WIDTH(1), .CYCLES(2)) delay_starts (.clk, .rst, .d(read_starts), .q(starts));
    if (N > 1) begin : states
        ext_ram #(.WIDTH(ZW), .DEPTH(WORDS), .STYLE(STATE_STYLE)) ram (
            .clk, .write(updated), .write_at(write_word), .write_data(next_state), .read_at(read_word), .read_data(stored));
    end else begin : none
        assign stored = '0;
    end
    assign state = was_first ? fresh : stored;
    ext_result #(.WIDTH(ZW), .DEPTH(INPUT_DEPTH)) dynamics_input (
        .clk, .rst, .take(read), .room(input_room), .s_data(state), .s_valid(valid),
        .m_data(m0_data), .m_valid(m0_valid), .m_ready(m0_ready));

    logic [ZW-1:0] held;
    logic held_valid, held_ready;
    ext_result #(.WIDTH(ZW), .DEPTH(HELD_DEPTH)) hold (
        .clk, .rst, .take(read && read_starts), .room(held_room), .s_data(state), .s_valid(valid && starts),
        .m_data(held), .m_valid(held_valid), .m_ready(held_ready));

    // ---------------------------------------------------------------- from the dynamics
    logic [A-1:0] word;
    logic [E-1:0] step;
    logic [S-1:0] stage;
    logic room;
    wire first_stage = stage == '0;
    wire last_word = word == A'(WORDS - 1);
    wire last_stage = stage == S'(N_STAGES - 1);
    wire last_step = step == E'(N_STEPS - 1);
    wire gives = last_step && last_stage;
    assign s1_ready = (held_valid || !first_stage) && (room || !gives);
    wire update = s1_valid && s1_ready;
    assign held_ready = update && first_stage;
    always_ff @(posedge clk)
        if (rst) begin
            word <= '0;
            step <= '0;
            stage <= '0;
        end else if (update) begin
            word <= last_word ? '0 : word + 1'b1;
            if (last_word) stage <= last_stage ? '0 : stage + 1'b1;
            if (last_word && last_stage) step <= last_step ? '0 : step + 1'b1;
        end

    // The state at the beginning of the step, and the slopes, two cycles later.
    logic [ZW-1:0] held_2, start;
    logic [S-1:0] stage_2;
    ext_delay #(.WIDTH(ZW), .CYCLES(2)) delay_held (.clk, .rst, .d(held), .q(held_2));
    ext_delay #(.WIDTH(S), .CYCLES(2)) delay_stage (.clk, .rst, .d(stage), .q(stage_2));
    if (N_STAGES > 1) begin : several_stages
        logic [ZW-1:0] z;
        ext_ram #(.WIDTH(ZW), .DEPTH(WORDS), .STYLE(STATE_STYLE)) ram (
            .clk, .write(update && first_stage), .write_at(word), .write_data(held), .read_at(word), .read_data(z));
        assign start = stage_2 == '0 ? held_2 : z;
    end else begin : one_stage
        assign start = held_2;
    end
    logic [KW-1:0] slope_2;
    logic [N_STAGES*KW-1:0] slopes;
    ext_delay #(.WIDTH(KW), .CYCLES(2)) delay_slope (.clk, .rst, .d(s1_data), .q(slope_2));
    for (genvar j = 0; j < N_STAGES; j++) begin : slope
        if (KEPT[j]) begin : kept
            logic [KW-1:0] earlier;
            ext_ram #(.WIDTH(KW), .DEPTH(WORDS), .STYLE(KEPT_STYLE)) ram (
                .clk, .write(update && stage == S'(j)), .write_at(word), .write_data(s1_data), .read_at(word),
                .read_data(earlier));
            assign slopes[j*KW +: KW] = stage_2 > S'(j) ? earlier : slope_2;
        end else begin : fresh_
            assign slopes[j*KW +: KW] = slope_2;
        end
    end

    // z + sum_j coefficient(stage, j) * k_j, rounded to the state.
    logic [LANES*W_Y-1:0] y;
    for (genvar i = 0; i < LANES; i++) begin : lane
        logic signed [ZS-1:0] z;
        logic signed [W_A-1:0] z_3;
        logic [(N_STAGES+1)*W_A-1:0] terms;
        if (Z_SIGNED) begin : z_signed
            assign z = start[i*W_Z +: W_Z];
        end else begin : z_unsigned
            assign z = {1'b0, start[i*W_Z +: W_Z]};
        end
        always_ff @(posedge clk) z_3 <= W_A'(z) <<< Z_SHIFT;
        assign terms[N_STAGES*W_A +: W_A] = z_3;
        for (genvar j = 0; j < N_STAGES; j++) begin : product
            wire [W_K-1:0] k = slopes[j*KW + i*W_K +: W_K];
            if (SHIFTS[j]) begin : shift
                logic signed [KS-1:0] ks;
                if (K_SIGNED) begin : k_signed
                    assign ks = k;
                end else begin : k_unsigned
                    assign ks = {1'b0, k};
                end
                logic [N_STAGES*W_A-1:0] rows;
                for (genvar r = 0; r < N_STAGES; r++) begin : row
                    localparam logic signed [31:0] C = COEFFICIENTS[32*(r*N_STAGES+j) +: 32];
                    wire signed [W_A+31:0] shifted = ((W_A+32)'(ks) * (W_A+32)'(C)) <<< K_SHIFT;
                    assign rows[r*W_A +: W_A] = shifted[W_A-1:0];
                    wire unused = ^shifted[W_A+31:W_A];
                end
                logic [W_A-1:0] chosen;
                always_ff @(posedge clk) chosen <= rows[stage_2*W_A +: W_A];
                assign terms[j*W_A +: W_A] = chosen;
            end else begin : multiply
                logic [N_STAGES*W_C-1:0] column;
                for (genvar r = 0; r < N_STAGES; r++) begin : row
                    assign column[r*W_C +: W_C] = COEFFICIENTS[32*(r*N_STAGES+j) +: W_C];
                end
                wire [W_C-1:0] c = column[stage_2*W_C +: W_C];
                logic signed [KS+W_C-1:0] p;
                ext_multiply #(.W_X(W_K), .X_SIGNED(K_SIGNED), .W_W(W_C), .W_SIGNED(1), .IMPL(IMPL)) times (
                    .clk, .x(k), .w(c), .y(p));
                assign terms[j*W_A +: W_A] = W_A'(p) <<< K_SHIFT;
            end
        end
        localparam int W_S = W_A + $clog2(N_STAGES + 1);
        logic signed [W_S-1:0] sum;
        ext_adder_tree #(.N(N_STAGES + 1), .W(W_A)) tree (.clk, .x(terms), .sum);
        ext_requantize #(.W_X(W_S), .W_Y(W_Z), .Y_SIGNED(Z_SIGNED), .SHIFT(Z_SHIFT), .ROUNDING(Z_ROUNDING),
            .SATURATION(Z_SATURATION)) to_state (.clk, .x(sum), .y(next_state[i*W_Z +: W_Z]));
        logic signed [ZS-1:0] next;
        if (Z_SIGNED) begin : next_signed
            assign next = next_state[i*W_Z +: W_Z];
        end else begin : next_unsigned
            assign next = {1'b0, next_state[i*W_Z +: W_Z]};
        end
        ext_requantize #(.W_X(ZS), .W_Y(W_Y), .Y_SIGNED(Y_SIGNED), .SHIFT(SHIFT), .ROUNDING(ROUNDING),
            .SATURATION(SATURATION)) to_result (.clk, .x(next), .y(y[i*W_Y +: W_Y]));
    end

    // Into the state, and in the last evaluation out.
    logic given;
    ext_delay #(.WIDTH(1), .CYCLES(T_Z), .RESET(1)) delay_update (.clk, .rst, .d(update), .q(updated));
    ext_delay #(.WIDTH(A), .CYCLES(T_Z)) delay_word (.clk, .rst, .d(word), .q(write_word));
    ext_delay #(.WIDTH(1), .CYCLES(T_Y), .RESET(1)) delay_gives (.clk, .rst, .d(update && gives), .q(given));
    ext_result #(.WIDTH(LANES*W_Y), .DEPTH(DEPTH)) result (
        .clk, .rst, .take(update && gives), .room, .s_data(y), .s_valid(given),
        .m_data(m1_data), .m_valid(m1_valid), .m_ready(m1_ready));
endmodule
