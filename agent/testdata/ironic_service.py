# Runs Ironic's API and conductor in one process, with hardware that only pretends
# and, as real machines do, takes its disk as boot device.
from ironic.cmd import singleprocess
from ironic.drivers.modules import fake

fake.FakeManagement.get_supported_boot_devices = lambda self, task: ["pxe", "disk"]
singleprocess.main()
