"""Neural-ODE blocks: one set of weights, iterated by an explicit Runge-Kutta solver."""
