# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Background jobs of an application: heartbeats, the queue, dead letters and the scheduler's lock."""
