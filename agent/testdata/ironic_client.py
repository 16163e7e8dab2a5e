"""Drives a ramdisk agent with the client that Ironic's conductor has for it.

Reads a JSON object with url, token, image and sha256 from standard input, and
writes what came of each call as one JSON object.
"""
import json
import sys
import time
import types

from ironic.common import exception
from ironic.conf import CONF
from ironic.drivers.modules import agent_client

CONF([], project='ironic', default_config_files=[])
CONF.set_override('max_command_attempts', 1, group='agent')

told = json.load(sys.stdin)
plain = {'uuid': 'n1', 'properties': {}, 'instance_info': {}, 'driver_info': {}, 'driver_internal_info': {}}


def node_with(token):
    return types.SimpleNamespace(
        uuid='n1', driver_info={}, instance_info={'hashed_rescue_password': '$5$salt$hash'},
        driver_internal_info={'agent_url': told['url'], 'agent_secret_token': token},
        as_dict=lambda secure=False, **_: plain)


client = agent_client.AgentClient()
node = node_with(told['token'])
seen = {}


def call(name, f, *args):
    try:
        seen[name] = f(*args)
    except exception.IronicException as e:
        seen[name] = type(e).__name__


def finish():
    for _ in range(600):
        last = client.get_commands_status(node)[-1]
        if last['command_status'] != 'RUNNING':
            return last
        time.sleep(0.05)
    return last


def step(name, **args):
    return {'interface': 'deploy', 'step': name, 'args': args}


image = {'id': 'disk.raw', 'urls': [told['image']], 'disk_format': 'raw', 'container_format': 'bare',
         'stream_raw_images': True, 'os_hash_algo': 'sha256', 'os_hash_value': told['sha256'], 'node_uuid': 'n1'}

call('wrong token', client.sync, node_with('another'))
call('get_clean_steps', client.get_clean_steps, node, [])
node.driver_internal_info['hardware_manager_version'] = seen['get_clean_steps']['command_result']['hardware_manager_version']
call('execute_clean_step', client.execute_clean_step, step('erase_devices_metadata'), node, [])
call('cleaned', finish)
call('get_deploy_steps', client.get_deploy_steps, node, [])
call('execute_deploy_step', client.execute_deploy_step, step('write_image', image_info=image, configdrive=None), node, [])
call('busy', client.sync, node)
call('written', finish)
call('get_partition_uuids', client.get_partition_uuids, node)
call('sync', client.sync, node)
node.driver_internal_info['hardware_manager_version'] = {'another': '1'}
call('execute_clean_step of others', client.execute_clean_step, step('erase_devices_metadata'), node, [])
call('mismatch', finish)
call('collect_system_logs', client.collect_system_logs, node)
call('power_off' if told.get('off') else 'finalize_rescue', client.power_off if told.get('off') else client.finalize_rescue, node)
json.dump(seen, sys.stdout)
