// One summary for each sensor, in alphabetical order: the JavaScript half of the pair.

export function summarise(readings) {
  const bySensor = Map.groupBy(readings, ({ sensor }) => sensor);
  return [...bySensor.keys()].sort().map((sensor) => {
    const values = bySensor.get(sensor).map(({ celsius }) => celsius);
    return {
      sensor,
      readings: values.length,
      lowest: Math.min(...values),
      highest: Math.max(...values),
      mean: values.reduce((sum, value) => sum + value, 0) / values.length,
    };
  });
}
