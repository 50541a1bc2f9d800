#ifndef NNET_BRIDGE_EXT_H_
#define NNET_BRIDGE_EXT_H_

// Between the numbers of Python and the fixed-point numbers of the C simulation. Only the simulation's bridge includes this:
// the conversions of ap_fixed take longer for an image than a small network does.
//
// The functions take the place of those of the same names in nnet_helpers.h.

#include "nnet_ext.h"
#include "nnet_helpers.h"

#include <cstddef>

namespace nnet {
namespace ext {

// T(x), by T's rounding and saturation modes.
template <class T, class number_T> inline T from_number(number_T x) {
#ifdef HLS4ML_EXT_NATIVE
    typedef fixed_traits<T> R;
    const bool rounds = R::rounding == AP_TRN || R::rounding == AP_RND || R::rounding == AP_RND_CONV;
    const bool saturates = R::saturation == AP_SAT || (R::saturation == AP_SAT_SYM && R::width > 1);
    const bool fits = R::width <= 32 && R::frac >= 0 && R::frac < 63;
    if (!rounds || !saturates || !fits || x != x) // the last: not a number
        return T(x);
    const double hi = double((int64_t(1) << (R::width - R::is_signed)) - 1);
    const double lo = !R::is_signed ? 0 : (R::saturation == AP_SAT_SYM ? -hi : -hi - 1);
    double v = x * double(int64_t(1) << min_of(max_of(R::frac, 0), 62)); // exact, if it is not infinite
    v = v < lo - 1 ? lo - 1 : v;
    v = v > hi + 1 ? hi + 1 : v;
    const double whole = 6755399441055744.; // 1.5 * 2^52: a sum with it has no fraction, and rounds ties to even
    const double nearest = (v + whole) - whole;
    const double below = nearest > v ? nearest - 1 : nearest;
    v = R::rounding == AP_RND_CONV ? nearest : (R::rounding == AP_RND && v - below >= 0.5 ? below + 1 : below);
    v = v < lo ? lo : v;
    v = v > hi ? hi : v;
    return from_stored<T>(static_cast<stored_t<T>>(static_cast<int64_t>(v)));
#else
    return T(x);
#endif
}

// number_T(x), which for a float rounds to the nearest.
template <class number_T, class T> inline number_T to_number(const T &x) {
#ifdef HLS4ML_EXT_NATIVE
    typedef fixed_traits<T> R;
    if (R::width <= 53 && R::frac >= 0 && R::frac < 63)
        return number_T(double(to_stored(x)) / double(int64_t(1) << min_of(max_of(R::frac, 0), 62)));
#endif
    return number_T(x);
}

template <class number_T, class beat_T, size_t SIZE> void convert_data(number_T *data, hls::stream<beat_T> &res) {
    for (size_t i = 0; i < SIZE / beat_T::size; i++) {
        beat_T beat;
        for (size_t c = 0; c < beat_T::size; c++)
            beat[c] = from_number<typename beat_T::value_type>(data[i * beat_T::size + c]);
        res.write(beat);
    }
}

template <class beat_T, class number_T, size_t SIZE> void convert_data(hls::stream<beat_T> &data, number_T *res) {
    for (size_t i = 0; i < SIZE / beat_T::size; i++) {
        const beat_T beat = data.read();
        for (size_t c = 0; c < beat_T::size; c++)
            res[i * beat_T::size + c] = to_number<number_T>(beat[c]);
    }
}

// Arrays, of io_parallel: into fixed point, or out of it.
template <class T> struct element {
    template <class number_T> static T from(number_T x) { return from_number<T>(x); }
};
template <> struct element<float> {
    template <class T> static float from(const T &x) { return to_number<float>(x); }
};
template <> struct element<double> {
    template <class T> static double from(const T &x) { return to_number<double>(x); }
};

template <class data_T, class res_T, size_t SIZE> void convert_data(data_T *data, res_T *res) {
    for (size_t i = 0; i < SIZE; i++)
        res[i] = element<res_T>::from(data[i]);
}

} // namespace ext
} // namespace nnet

#endif
