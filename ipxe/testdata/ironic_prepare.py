# Times ironic's own PXE boot interface: prints the seconds that prepare_ramdisk
# and clean_up_ramdisk take for each node. Arguments: folder, number of nodes.
import os
import sys
import time

folder, count = sys.argv[1], int(sys.argv[2])
conf = os.path.join(folder, "ironic.conf")
for name, size in (("kernel", 10 << 20), ("ramdisk", 100 << 20)):
    with open(os.path.join(folder, name), "wb") as f:
        f.truncate(size)
os.makedirs(os.path.join(folder, "tftp"))
os.makedirs(os.path.join(folder, "http"))
with open(conf, "w") as f:
    f.write(f"""[DEFAULT]
host = bench
rpc_transport = none
enabled_hardware_types = fake-hardware
enabled_boot_interfaces = fake,ipxe,pxe
enabled_power_interfaces = fake
enabled_management_interfaces = fake
enabled_deploy_interfaces = fake
enabled_network_interfaces = noop
default_network_interface = noop
[database]
connection = sqlite:///{folder}/ironic.sqlite
[dhcp]
dhcp_provider = none
[pxe]
tftp_server = 192.0.2.1
tftp_root = {folder}/tftp
tftp_master_path = {folder}/tftp/master
images_path = {folder}/images
instance_master_path = {folder}/master
[deploy]
http_url = http://192.0.2.1
http_root = {folder}/http
[conductor]
api_url = http://192.0.2.1:6385
file_url_allowed_paths = {folder}
""")

from oslo_log import log  # noqa: E402

from ironic.common import service  # noqa: E402
from ironic.conf import CONF  # noqa: E402

sys.argv = ["bench", "--config-file", conf]
service.prepare_command(sys.argv)

from ironic.common import context  # noqa: E402
from ironic.common import driver_factory  # noqa: E402
from ironic.common import states  # noqa: E402
from ironic.conductor import task_manager  # noqa: E402
from ironic.db import api as dbapi  # noqa: E402
from ironic.db import migration  # noqa: E402
from ironic import objects  # noqa: E402

migration.create_schema()
objects.register_all()
ctx = context.RequestContext(is_admin=True)
db = dbapi.get_instance()
driver_factory.HardwareTypesFactory()
db.register_conductor({"hostname": "bench", "drivers": ["fake-hardware"]})
nodes = []
for i in range(count):
    node = objects.Node(
        ctx, uuid=f"00000000-0000-4000-8000-{i:012x}", driver="fake-hardware", boot_interface="ipxe",
        power_interface="fake", management_interface="fake", deploy_interface="fake", network_interface="noop",
        provision_state=states.DEPLOYING, properties={"capabilities": "boot_mode:uefi", "cpu_arch": "x86_64"},
        driver_info={"deploy_kernel": f"file://{folder}/kernel", "deploy_ramdisk": f"file://{folder}/ramdisk"})
    node.create()
    for j in range(2):
        objects.Port(ctx, node_id=node.id, address=f"52:54:00:{j:02x}:{i // 256:02x}:{i % 256:02x}", pxe_enabled=True).create()
    nodes.append(node.uuid)


def each(purpose, f):
    start = time.process_time(), time.time()
    for uuid in nodes:
        with task_manager.acquire(ctx, uuid, shared=False, purpose=purpose) as task:
            f(task)
    return (time.time() - start[1]) / count, (time.process_time() - start[0]) / count


wall1, cpu1 = each("prepare", lambda task: task.driver.boot.prepare_ramdisk(task, {"ipa-api-url": "http://192.0.2.1:6385"}))
wall2, cpu2 = each("clean up", lambda task: task.driver.boot.clean_up_ramdisk(task))
print(wall1 + wall2, cpu1 + cpu2)
