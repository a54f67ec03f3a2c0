# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which origin the world's traffic goes to: one behaviour, and a small file per vendor."""
