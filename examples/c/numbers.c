// Functions over numbers, without a C library: what they are given and what they return is all that they know of the world.

#define EXPORT(name) __attribute__((export_name(name)))

EXPORT("gcd") int gcd(int a, int b) {
    while (b != 0) {
        int rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

EXPORT("hypotenuse") double hypotenuse(double a, double b) {
    return __builtin_sqrt(a * a + b * b);
}
