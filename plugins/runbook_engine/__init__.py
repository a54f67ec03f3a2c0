# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The engine of the runbooks without Ansible: the record, its reduction to a result, the rules of the gate.

Standard library and jmespath only (PyYAML where a file is read). Everything here is a plain function over
plain data: the callbacks and filters of `plugins/` and the command `runbook` both build on it.
"""
