// Errors that a replay meets because of where it runs, and the command that would mend them.

export function hint(name: string, actual: string): string | null {
  if (name === 'VFIO_IOMMU_MAP_DMA' && actual.includes('ENOMEM'))
    return 'the agent may lock too little memory: `ulimit -l unlimited` where it runs, or replay as root';
  if (actual.includes('EPERM')) return 'the agent lacks a right that the recorded program had: replay as root';
  if (actual.includes('ETIMEDOUT'))
    return 'what was waited for did not come; --patience MS waits longer. A device that works on memory may need contents that a trace does not have';
  return null;
}
