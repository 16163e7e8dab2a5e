package linux

// ModulesFile of the ramdisk lists the kernel modules to load, a path a line, each
// behind those that it needs.
const ModulesFile = "/etc/modules"
